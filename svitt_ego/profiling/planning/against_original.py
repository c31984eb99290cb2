"""The original code's peaks beside ours, at the very setting in which they were tracked."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from svitt_ego.config import load_recipe
from svitt_ego.profiling.planning.in_processes import in_processes
from svitt_ego.profiling.planning.plan import planned_config
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.published import PUBLISHED, Published
from svitt_ego.profiling.units import show_bytes

CONFIG = "ds_configs/one_gpu_bf16.json"
ANCHORS = 8
POLICIES = ("none", "layers")


@dataclass(frozen=True)
class Ours:
    """Peaks of a step on one GPU."""

    peak_bytes: int
    passes_bytes: int
    """Of the forward and backward pass: on one GPU the optimiser's step may need more."""


@dataclass(frozen=True)
class Beside:
    """Ours, on one GPU in bf16: 8 clips, no scene-aware negatives, all three objectives."""

    original: Published
    ours: dict[str, Ours]
    """By recomputation policy."""

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.original.title,
            "reported_gb": self.original.reported_gb,
            "tracked_bytes": self.original.tracked_bytes,
            "ours": {policy: asdict(peaks) for policy, peaks in self.ours.items()},
        }


def beside_original(processes: int | None = None) -> Iterator[Beside]:
    """Each of `PUBLISHED`, as they get known."""
    for _, found in in_processes(_plan, PUBLISHED, processes):
        yield found


def _plan(original: Published) -> Beside:
    ours = {}
    for policy in POLICIES:
        overrides = (
            *original.overrides,
            "objectives.contrastive.scene_negatives=false",
            f"training.micro_batch_size={ANCHORS}",
            f"training.recompute.what={policy}",
        )
        recipe = load_recipe(original.recipe, list(overrides))
        with PlannedRun(recipe, planned_config(CONFIG, recipe, 1), 1) as run:
            memory = run.step(ANCHORS).memory
        passes = max(memory.phases[name].peak_bytes for name in ("forward", "backward"))
        ours[policy] = Ours(memory.peak.peak_bytes, passes)
    return Beside(original, ours)


def in_order(found: Sequence[Beside]) -> list[Beside]:
    return sorted(found, key=lambda each: PUBLISHED.index(each.original))


def markdown(found: Sequence[Beside]) -> str:
    lines = [
        "| variant | original, tracked | ours | its forward and backward | the same, layers "
        "recomputed | the paper reports |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        none, layers = (each.ours[policy] for policy in POLICIES)
        sizes = (each.original.tracked_bytes, none.peak_bytes, none.passes_bytes)
        cells = " | ".join(show_bytes(size) for size in (*sizes, layers.passes_bytes))
        reported = f"{each.original.reported_gb:.2f} GB" if each.original.reported_gb else "–"
        title = each.original.title.removeprefix("original, ")
        lines.append(f"| {title} | {cells} | {reported} |")
    return "\n".join(lines)
