"""What a benchmark leaves: two JSON files, a picture, and a table for the terminal."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from svitt_ego.durable_files import write_atomically
from svitt_ego.profiling.encoder_bench.measure import Row
from svitt_ego.profiling.encoder_bench.variants import RECOMPUTED
from svitt_ego.profiling.plots import LINES, STYLE, save_png
from svitt_ego.profiling.units import MIB, show_seconds

MEASURES = {"time": "seconds per clip", "memory": "MiB of activations per clip"}
COLORS = (*LINES, "#c9503f")
COLUMNS = ("variant", "frames", "batch", "step", "clips/s", "GFLOP", "MFU", "activations", "peak")


def write_results(
    directory: Path, rows: Sequence[Row], predictions: Sequence[Row], about: dict[str, Any]
) -> None:
    """`encoders.json`: the rows. `encoders_memory.json`: predicted memory, fitted exponents and
    the machine. `encoders.png`: time and memory against frames."""
    directory.mkdir(parents=True, exist_ok=True)
    more = {**about, "exponents": exponents(rows), "predicted": list(predictions)}
    for name, content in (("encoders", list(rows)), ("encoders_memory", more)):
        write_atomically(directory / f"{name}.json", json.dumps(content, indent=1) + "\n")
    save_png(growth(rows), directory / "encoders.png")


def machine_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def per_clip(row: Row, measure: str) -> float:
    """`time`: seconds; `memory`: MiB."""
    if measure == "time":
        return row["step_s_median"] / row["batch"]
    return row["activation_peak_bytes"] / MIB / row["batch"]


def exponents(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Variant -> `time` and `memory` -> x of frames^x, fitted per clip by least squares of
    logarithms. Variants with one number of frames have none."""
    fitted = {}
    for name, own in _by_variant(rows).items():
        frames = np.log([row["frames"] for row in own])
        if len(own) > 1:
            logs = {m: np.log([per_clip(row, m) for row in own]) for m in MEASURES}
            fitted[name] = {m: float(np.polyfit(frames, y, 1)[0]) for m, y in logs.items()}
    return fitted


def _by_variant(rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["frames"]):
        grouped[row["variant"]].append(row)
    return dict(grouped)


@matplotlib.rc_context(STYLE)
def growth(rows: Sequence[Row]) -> Figure:
    """Both measures per clip against frames, logarithmic; recomputed variants dashed."""
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    panels = figure.subplots(1, len(MEASURES))
    for axes, measure in zip(panels, MEASURES, strict=True):
        _growth_panel(axes, rows, measure)
    return figure


def _growth_panel(axes: Axes, rows: Sequence[Row], measure: str) -> None:
    fitted = exponents(rows)
    colors = {}
    for name, own in _by_variant(rows).items():
        plain = name.removesuffix(RECOMPUTED)
        color = colors.setdefault(plain, COLORS[len(colors) % len(COLORS)])
        label = f"{name}, frames^{fitted[name][measure]:.2f}" if name in fitted else name
        frames = [row["frames"] for row in own]
        style = {"color": color, "ls": "--" if plain != name else "-", "marker": "o"}
        axes.plot(frames, [per_clip(row, measure) for row in own], **style, ms=4, label=label)
    ticks = sorted({row["frames"] for row in rows})
    axes.set(xscale="log", yscale="log", xlabel="frames of a clip", title=MEASURES[measure])
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.grid()
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13))


def table(rows: Sequence[Row], predictions: Sequence[Row]) -> str:
    """Measured rows, then predicted ones without a time."""
    lines = [COLUMNS]
    lines += [
        (
            row["variant"],
            str(row["frames"]),
            f"{row['batch']} {row['dtype']}",
            show_seconds(row["step_s_median"]) if "mfu" in row else "-",
            f"{row['samples_per_s']:.3g}" if "mfu" in row else "-",
            f"{row['flops_needed'] / 1e9:.1f}" if "mfu" in row else "-",
            f"{row['mfu']:.1%}" if "mfu" in row else "-",
            f"{row['activation_peak_bytes'] / MIB:.1f} MiB",
            f"{row['total_peak_bytes'] / MIB:.1f} MiB",
        )
        for row in [*rows, *predictions]
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    )
