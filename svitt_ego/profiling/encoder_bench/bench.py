"""The whole benchmark: every number of frames, every variant, and memory in 2-byte numbers."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from svitt_ego.config.schema import Recipe
from svitt_ego.cpu_allocator import keep_freed_memory
from svitt_ego.cpu_features import cpu_computes_bf16
from svitt_ego.profiling.encoder_bench.matmul_peak import SQUARE
from svitt_ego.profiling.encoder_bench.measure import (
    Precision,
    Row,
    measure,
    predict,
    without_oversized,
)
from svitt_ego.profiling.encoder_bench.results import machine_memory_bytes, table, write_results
from svitt_ego.profiling.encoder_bench.variants import batch_for, bench_variants

USABLE_SHARE = 0.8
"""Of the machine's memory, for one step."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    recipe: Recipe
    frames: Sequence[int]
    batch: int
    """Clips at the recipe's own number of frames; longer clips come in smaller batches."""
    rounds: int
    precision: Precision
    predicted_batch: int = 8
    """Clips of the predictions in bf16, at the recipe's own number of frames; 0: none."""
    only: Sequence[str] = ()
    """Names of variants; none: all."""
    square: int = SQUARE


def best_precision() -> Precision:
    """What trains fastest on this CPU."""
    return "bf16" if cpu_computes_bf16() else "fp32"


def bench(plan: Plan, directory: Path) -> str:
    """Measure, write the results after each number of frames, return the table.

    Raises:
        ValueError: `only` names no variant.
    """
    keep_freed_memory()
    own_frames = plan.recipe.data.frames
    groups = [
        _chosen(plan, frames, batch_for(frames, plan.batch, own_frames)) for frames in plan.frames
    ]
    predicted = _chosen(plan, own_frames, plan.predicted_batch) if plan.predicted_batch else {}
    rows: list[Row] = []
    predictions: list[Row] = []
    about = {
        "recipe": plan.recipe.name,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "timed_steps": plan.rounds,
    }
    steps = sum(len(group) * (1 + plan.rounds) for group in groups) + len(predicted)
    with tqdm(total=steps, desc="encoders", unit="step") as bar:

        def advance(text: str) -> None:
            bar.set_postfix_str(text)
            bar.update()

        predictions += predict(predicted, "bf16", advance)
        for frames, group in zip(plan.frames, groups, strict=True):
            bar.set_description(f"encoders, {frames} frames")
            limit_bytes = int(USABLE_SHARE * machine_memory_bytes())
            fitting, oversized = without_oversized(
                group, plan.precision, limit_bytes, bar.set_postfix_str
            )
            predictions += oversized
            bar.update((len(group) - len(fitting)) * (1 + plan.rounds))
            if fitting:
                rows += measure(fitting, plan.precision, plan.rounds, advance, plan.square)
                write_results(directory, rows, predictions, about)
    return table(rows, predictions)


def _chosen(plan: Plan, frames: int, batch: int) -> dict[str, Recipe]:
    variants = bench_variants(plan.recipe, frames, batch)
    unknown = [name for name in plan.only if name not in variants]
    if unknown:
        raise ValueError(f"no variant {unknown[0]!r}; there are: {', '.join(variants)}")
    return {name: own for name, own in variants.items() if not plan.only or name in plan.only}
