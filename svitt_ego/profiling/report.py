"""A comparison and a training run as one self-contained page, with PNG, CSV and JSON beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from svitt_ego.profiling import plots
from svitt_ego.profiling.compare import write_csv, write_json
from svitt_ego.profiling.module_tree import module_tree
from svitt_ego.profiling.published import PUBLISHED
from svitt_ego.profiling.run_summary import TrainedRun
from svitt_ego.profiling.units import show_bytes, show_seconds

CHANCE_PERCENT = 20
"""Of a question with five choices."""


COLUMNS = ("parameters", "gradients", "optimizer_states", "activations", "temporaries")
"""Categories with a column of their own in the page's table; memory.csv has them all."""


@dataclass(frozen=True)
class Picture:
    """One figure of the page; `name` is also that of its PNG."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure | None]


def write_report(
    output_dir: Path, comparison: dict[str, Any] | None, run: TrainedRun | None = None
) -> Path:
    """Write report.html and a PNG of each picture; memory.csv and memory.json if something was
    compared. Returns the page's path.

    Args:
        comparison: what `compare` returned.
        run: what `read_run` returned.

    Raises:
        ValueError: neither is given.
    """
    if comparison is None and run is None:
        raise ValueError("nothing to report: neither a comparison nor a run")
    output_dir.mkdir(parents=True, exist_ok=True)
    if comparison:
        write_json(comparison, output_dir / "memory.json")
        write_csv(comparison, output_dir / "memory.csv")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(
        show_bytes=show_bytes,
        published=_published_rows(comparison.get("original")) if comparison else [],
        comparison=_comparison_view(comparison, output_dir) if comparison else None,
        run=_run_view(run, output_dir) if run else None,
    )
    path = output_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _published_rows(beside: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """
    Args:
        beside: of `Beside.to_json`; None: ours were not planned.
    """
    ours = {
        each["title"]: (
            each["ours"]["none"]["peak_bytes"],
            *(peaks["passes_bytes"] for peaks in each["ours"].values()),
        )
        for each in beside or []
    }
    return [
        {
            "title": entry.title,
            "reported": f"{entry.reported_gb:.2f} GB" if entry.reported_gb else "–",
            "tracked": show_bytes(entry.tracked_bytes),
            "ours": [show_bytes(size) for size in ours.get(entry.title, ())],
        }
        for entry in PUBLISHED
    ]


def _comparison_view(comparison: dict[str, Any], output_dir: Path) -> dict[str, Any]:
    results = comparison["variants"]
    frames = list(dict.fromkeys(result["frames"] for result in results))
    shown = [result for result in results if result["frames"] == frames[0]]
    first = shown[0]
    pictures = [
        Picture(
            "peaks",
            "What the peak is made of",
            f"The moment of most live bytes in one training step, {frames[0]} frames per clip. "
            f"Percentages are of {first['title']}.",
            lambda: plots.peaks_by_category(shown),
        ),
    ]
    if len(frames) > 1:
        pictures.append(
            Picture(
                "growth",
                "Longer clips",
                "Peak of a step against the frames of a clip, all else equal; the exponents are "
                "fitted: 1 is linear, 2 quadratic.",
                lambda: plots.growth_with_frames(results),
            )
        )
    pictures.append(
        Picture(
            "timelines",
            "Inside one step",
            "Activations pile up in the forward pass and are used up in the backward pass.",
            lambda: plots.timelines(shown),
        )
    )
    return {
        **{key: comparison[key] for key in ("recipe", "counter", "machine", "threads", "torch")},
        "timed_steps": comparison["timed_steps"],
        "anchors": comparison["anchors"],
        "clips": first["clips"],
        "frames": ", ".join(map(str, frames)),
        "several_frames": len(frames) > 1,
        "device": first["device"],
        "dtype": first["dtype"],
        "tiles": _tiles(shown),
        "opponents": shown,
        "columns": [name.replace("_", " ") for name in COLUMNS],
        "rows": [_row(result) for result in results],
        "trees": [
            {"title": r["title"], "root": module_tree(r["peak_bytes_by_module"])} for r in shown
        ],
        "loss_gap": _loss_gap(shown),
        "overhead": overhead(results),
        "pictures": _rendered(pictures, output_dir),
    }


STEPS = {
    "dense": "",
    "dense_efficient": "not storing attention probabilities",
    "dense_efficient_drop": "dropping tokens",
    "sparse": "sparse edges",
}
"""Variants in the order in which something is added to the one before, and what."""


def _tiles(results: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The figures one came for, each thing credited with what it alone saves; all of them at the
    first micro-batch and policy (names with a `+` are of others)."""
    results = [result for result in results if "+" not in result["name"]] or results
    last = results[-1]
    tiles = [{"figure": show_bytes(last["peak_bytes"]), "text": f"peak of {last['title']}"}]
    by_name = {result["name"]: result for result in results}
    for before, after in pairwise(name for name in STEPS if name in by_name):
        sizes = [by_name[name]["peak_bytes"] for name in (before, after)]
        figure = _signed_percent(sizes[1] / sizes[0] - 1)
        text = f"memory by {STEPS[after]}: {show_bytes(sizes[0])} to {show_bytes(sizes[1])}"
        tiles.append({"figure": figure, "text": text})
    opponent = by_name.get("dense_efficient")
    if opponent and last is not opponent:
        times = [show_seconds(result["step_s"]) for result in (opponent, last)]
        change = last["step_s"] / opponent["step_s"] - 1
        text = f"time of {last['title']} against {opponent['title']}: {times[0]} to {times[1]}"
        tiles.append({"figure": _signed_percent(change), "text": text})
    return tiles


def _signed_percent(change: float) -> str:
    return f"{change:+.0%}".replace("-", "\N{MINUS SIGN}")


def _row(result: dict[str, Any]) -> dict[str, Any]:
    split = result["peak_bytes_by_category"]
    rest = result["peak_bytes"] - sum(split.get(name, 0) for name in COLUMNS)
    return {
        "title": result["title"],
        "frames": result["frames"],
        "peak": show_bytes(result["peak_bytes"]),
        "columns": [
            show_bytes(size) if size else "–"
            for size in (*(split.get(name, 0) for name in COLUMNS), rest)
        ],
        "step": show_seconds(result["step_s"]),
        "speed": f"{result['clips_per_s']:.1f}",
        "loss": f"{result['loss_first']:.4f}",
    }


def _loss_gap(results: list[dict[str, Any]]) -> str | None:
    """Relative difference of the two dense variants' first losses."""
    losses = {result["name"]: result["loss_first"] for result in results}
    if not {"dense", "dense_efficient"} <= losses.keys():
        return None
    gap = abs(losses["dense_efficient"] / losses["dense"] - 1)
    return f"{gap:.0e} of their size" if gap else "nothing"


def overhead(results: list[dict[str, Any]]) -> str:
    """Of all tracked steps, one of each variant, over the same number of untracked ones."""
    tracked_s = sum(result["tracked_step_s"] for result in results)
    untracked_s = sum(result["step_s"] for result in results)
    return f"{max(0.0, tracked_s / untracked_s - 1):.0%}"


def _run_view(run: TrainedRun, output_dir: Path) -> dict[str, Any]:
    pictures = [
        Picture(
            "loss",
            "Loss",
            "Each step (thin) and the running mean (thick); the total is the weighted sum.",
            lambda: plots.loss_curves(run),
        ),
        Picture(
            "run_peaks",
            "Peak memory of a step",
            "On the rank that needed most, in each step that was tracked.",
            lambda: plots.peaks_over_steps(run),
        ),
        Picture(
            "throughput",
            "Throughput",
            "Anchors of all ranks per second, waiting for data included.",
            lambda: plots.throughput(run),
        ),
        Picture(
            "learning_rate", "Learning rate", "Used in each step.", lambda: plots.learning_rate(run)
        ),
    ]
    return {
        "name": run.name,
        "figures": _key_figures(run),
        "egomcq": _egomcq_rows(run.egomcq) if run.egomcq else [],
        "chance": CHANCE_PERCENT,
        "pictures": _rendered(pictures, output_dir),
    }


def _key_figures(run: TrainedRun) -> list[tuple[str, str]]:
    """What the records and the set-up tell, in reading order."""
    figures: list[tuple[str, str]] = []
    steps, losses = run.series("loss")
    if steps:
        figures.append(("steps", f"{steps[-1]:.0f}"))
        figures.append(("loss, first to last step", f"{losses[0]:.3f} → {losses[-1]:.3f}"))
    _, speeds = run.series("samples_per_s")
    if speeds:
        median = sorted(speeds)[len(speeds) // 2]
        figures.append(("samples per second, median", f"{median:.1f}"))
    _, peaks = run.series("peak_bytes")
    if peaks:
        counter = run.records[-1].get("counter", "counter not recorded")
        figures.append((f"highest peak of a step ({counter})", show_bytes(max(peaks))))
    _, resident = run.series("rss_high_water_bytes")
    if resident:
        figures.append(("most resident memory of the process", show_bytes(max(resident))))
    if run.zero_stage is not None:
        figures.append(("ZeRO stage", str(run.zero_stage)))
    for key, label in (("world_size", "processes"), ("git_revision", "code revision")):
        if run.launch.get(key):
            figures.append((label, str(run.launch[key])))
    return figures


def _egomcq_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    questions = result.get("questions") or {}
    rows = []
    for kind, text in (("inter", "other videos"), ("intra", "the same video")):
        if isinstance(result.get(kind), (int, float)):
            percent = result[kind]
            rows.append(
                {
                    "kind": kind,
                    "text": text,
                    "percent": f"{percent:.1f}%",
                    "width": f"{min(max(percent, 0), 100):.1f}",
                    "questions": questions.get(kind, "?")
                    if isinstance(questions, dict)
                    else questions,
                }
            )
    return rows


def _rendered(pictures: list[Picture], output_dir: Path) -> list[dict[str, Any]]:
    """Draw each picture once; those without data are left out."""
    rendered = []
    for picture in pictures:
        figure = picture.draw()
        if figure is None:
            continue
        plots.save_png(figure, output_dir / f"{picture.name}.png")
        rendered.append(
            {
                "name": picture.name,
                "title": picture.title,
                "caption": picture.caption,
                "svg": Markup(plots.inline_svg(figure, picture.name)),  # noqa: S704 (our own)
            }
        )
    return rendered
