"""What the paper's recipes need on small GPUs, and the project's targets."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from svitt_ego.config import load_recipe
from svitt_ego.profiling.planning.arguments import size
from svitt_ego.profiling.planning.in_processes import in_processes
from svitt_ego.profiling.planning.plan import Plan, Planner, planned_config
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.units import show_bytes

PRECISIONS = ("fp16", "bf16")
"""Both are 2-byte numbers and need the same to the byte, so the first is planned for both."""

RECIPES = ("paper_1_3_56", "paper_1_5_56", "paper_dense")


@dataclass(frozen=True)
class Setting:
    """A recipe with recomputed layers, and a config for a number of GPUs."""

    recipe: str
    config: str
    """Name in ds_configs/, with `*` for the precision."""
    gpus: int
    sizes: Sequence[str]
    """GPUs to find the largest micro-batch for."""
    clips: Sequence[int] = ()
    """Clips of one GPU to give the peak of."""


@dataclass(frozen=True)
class Target:
    """A peak of live tensors that was promised for `paper_1_3_56`; CUDA's context comes on top."""

    clips: int
    config: str
    gpus: int
    limit: str


TARGETS = (
    Target(8, "zero2_*", 8, "1.5GiB"),
    Target(16, "zero2_*", 8, "1.5GiB"),
    Target(128, "zero2_*", 8, "12GB"),
    Target(256, "zero2_*", 8, "19GB"),
    Target(32, "one_gpu_*", 1, "8GB"),
)


def _settings() -> list[Setting]:
    found = []
    for recipe in RECIPES:
        for config, gpus, sizes in (
            ("one_gpu_*", 1, ("8GiB", "12GiB", "24GiB")),
            ("one_gpu_*_offload", 1, ("8GiB", "12GiB", "24GiB")),
            ("zero2_*", 8, ("12GiB",)),
            ("zero2_*_offload", 8, ("12GiB",)),
        ):
            asked = [t.clips for t in TARGETS if t.config == config]
            clips = asked if recipe == RECIPES[0] else [c for c in asked if c <= 16]
            found.append(Setting(recipe, config, gpus, sizes, clips))
    return found


SETTINGS = _settings()


def rows(processes: int | None = None) -> Iterator[list[dict[str, Any]]]:
    """Those of each setting of `SETTINGS`, as they get known."""
    for _, own in in_processes(rows_of, SETTINGS, processes):
        yield own


def rows_of(setting: Setting) -> list[dict[str, Any]]:
    """One for each GPU, each number of clips and each precision."""
    recipe = load_recipe(setting.recipe, ["training.recompute.what=layers"])
    path = f"ds_configs/{setting.config.replace('*', PRECISIONS[0])}.json"
    per_anchor = recipe.objectives.contrastive.clips_per_anchor
    found = []
    with PlannedRun(recipe, planned_config(path, recipe, setting.gpus), setting.gpus) as run:
        planner = Planner(run)
        for clips in setting.clips:
            found += _rows(setting, None, planner.plan(0, clips // per_anchor), None)
        for name in setting.sizes:
            largest = planner.largest(size(name))
            found += _rows(setting, name, planner.plan(size(name), max(largest, 1)), largest)
    return found


def _rows(
    setting: Setting, gpu_memory: str | None, plan: Plan, largest: int | None
) -> list[dict[str, Any]]:
    result = plan.to_json()
    kept = ("micro_batch", "clips", "peak_bytes", "needed_bytes", "host_bytes", "categories")
    return [
        {
            "recipe": setting.recipe,
            "recompute": "layers",
            "config": setting.config.replace("*", precision),
            "gpus": setting.gpus,
            "gpu_memory": gpu_memory,
            "largest_micro_batch": largest,
            **{key: result[key] for key in kept},
        }
        for precision in PRECISIONS
    ]


def in_order(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `SETTINGS` has them, whichever was done first."""
    places = [(s.recipe, s.config.replace("*", p)) for s in SETTINGS for p in PRECISIONS]
    return sorted(table, key=lambda row: places.index((row["recipe"], row["config"])))


def markdown_of_fits(table: Sequence[dict[str, Any]]) -> str:
    """The largest micro-batch of each GPU: a row for each config, a column for each recipe."""
    cells: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in table:
        if row["gpu_memory"] and PRECISIONS[0] in row["config"]:
            config = row["config"].replace(PRECISIONS[0], "*")
            place = (_spaced(row["gpu_memory"]), config, row["gpus"])
            anchors, peak = row["largest_micro_batch"], show_bytes(row["peak_bytes"])
            text = f"{anchors} ({row['clips']}), {peak}" if anchors else "does not fit"
            cells.setdefault(place, {})[row["recipe"]] = text
    recipes = [name for name in RECIPES if any(name in own for own in cells.values())]
    lines = [
        f"| GPUs | DeepSpeed config | {' | '.join(f'`{name}`' for name in recipes)} |",
        "|---|---|" + "---|" * len(recipes),
    ]
    for (memory, config, gpus), own in cells.items():
        count = "one" if gpus == 1 else str(gpus)
        texts = " | ".join(own.get(name, "–") for name in recipes)
        lines.append(f"| {count} of {memory} | `{config}` | {texts} |")
    return "\n".join(lines)


def markdown_of_targets(table: Sequence[dict[str, Any]]) -> str:
    lines = ["| `paper_1_3_56` | peak | target | |", "|---|---|---|---|"]
    for target in TARGETS:
        config = target.config.replace("*", PRECISIONS[0])
        for row in table:
            asked = (row["recipe"], row["config"], row["clips"], row["gpu_memory"])
            if asked == (RECIPES[0], config, target.clips, None):
                gpus = "one GPU" if target.gpus == 1 else f"each of {target.gpus} GPUs"
                met = "met" if row["peak_bytes"] <= size(target.limit) else "**missed**"
                lines.append(
                    f"| {target.clips} clips ({row['micro_batch']} anchors) on {gpus}, "
                    f"`{target.config}` | {show_bytes(row['peak_bytes'])} | "
                    f"{_spaced(target.limit)} | {met} |"
                )
    return "\n".join(lines)


def _spaced(size: str) -> str:
    """`12GiB` -> `12 GiB`."""
    return re.sub(r"(?<=\d)(?=[A-Z])", " ", size)
