"""Times and memory of whole training steps that take turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from svitt_ego.config.schema import Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.encoder_bench.flops import needed_flops
from svitt_ego.profiling.encoder_bench.matmul_peak import SQUARE, MatmulPeak
from svitt_ego.profiling.encoder_bench.memory import (
    StepPeaks,
    predicted_peaks,
    tracked_peaks,
)
from svitt_ego.profiling.encoder_bench.shared_steps import shared_steps
from svitt_ego.profiling.recorder import MemoryRecorder
from svitt_ego.training.rehearsal import random_batch

Precision = Literal["bf16", "fp32"]
TORCH_TYPE: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}

Row = dict[str, Any]
Progress = Callable[[str], None]


def measure(
    variants: Mapping[str, Recipe],
    precision: Precision,
    rounds: int,
    progress: Progress = lambda _: None,
    square: int = SQUARE,
) -> list[Row]:
    """Rows of `encoders.json`, for variants of the same frames and batch.

    Each variant does a tracked step, which also warms it up, and then `rounds` timed ones, in
    turns; before each timed step the products of `MatmulPeak` are timed once.

    Args:
        variants: name -> recipe; they share their parameters.
        progress: called before each step with what it is.
        square: side of the square product.
    """
    assert variants and rounds > 0, (list(variants), rounds)
    dtype = TORCH_TYPE[precision]
    first = next(iter(variants.values()))
    torch.manual_seed(first.seed)
    batch = random_batch(first, first.seed)
    subjects = shared_steps(SViTTEgo(first.model).to(dtype), list(variants.values()), batch)
    peaks: list[StepPeaks] = []
    for name, subject in zip(variants, subjects, strict=True):
        progress(f"{name}, tracked")
        peaks.append(tracked_peaks(subject, 1))
    products = MatmulPeak(first, dtype, square)
    products.time_once()
    products.forget()
    off = MemoryRecorder()
    times_s: dict[str, list[float]] = {name: [] for name in variants}
    for step in range(2, 2 + rounds):
        for name, subject in zip(variants, subjects, strict=True):
            progress(f"{name}, timed")
            products.time_once()
            started = time.perf_counter()
            subject.run(step, off)
            times_s[name].append(time.perf_counter() - started)
    return [
        _row(name, recipe, precision, statistics.median(times_s[name]), products.flops_per_s, peak)
        for (name, recipe), peak in zip(variants.items(), peaks, strict=True)
    ]


def _row(
    name: str,
    recipe: Recipe,
    precision: Precision,
    step_s: float,
    peak_flops_per_s: float,
    peaks: StepPeaks,
) -> Row:
    batch, flops = recipe.training.micro_batch_size, needed_flops(recipe)
    return {
        "variant": name,
        "frames": recipe.data.frames,
        "batch": batch,
        "dtype": precision,
        "step_s_median": step_s,
        "samples_per_s": batch / step_s,
        "flops_needed": round(flops),
        "matmul_peak_flops_per_s": round(peak_flops_per_s),
        "mfu": flops / step_s / peak_flops_per_s,
        "activation_peak_bytes": peaks.activation_bytes,
        "total_peak_bytes": peaks.total_bytes,
    }


def predict(variants: Mapping[str, Recipe], precision: Precision, progress: Progress) -> list[Row]:
    """Memory alone, without computing: rows without time."""
    rows = []
    for name, recipe in variants.items():
        progress(f"{name}, predicted in {precision}")
        peaks = predicted_peaks(recipe, TORCH_TYPE[precision])
        rows.append(
            {
                "variant": name,
                "frames": recipe.data.frames,
                "batch": recipe.training.micro_batch_size,
                "dtype": precision,
                "activation_peak_bytes": peaks.activation_bytes,
                "total_peak_bytes": peaks.total_bytes,
            }
        )
    return rows


def without_oversized(
    variants: Mapping[str, Recipe], precision: Precision, memory_bytes: int, progress: Progress
) -> tuple[dict[str, Recipe], list[Row]]:
    """The variants that fit, and predictions of those that do not.

    Only attention that stores its probabilities can be too large where the others run.
    """
    stores = {
        name: recipe
        for name, recipe in variants.items()
        if recipe.model.video.edge_sparsity is None
        and recipe.model.video.dense_attention == "materialised"
    }
    predictions = predict(stores, precision, progress)
    oversized = [row for row in predictions if row["total_peak_bytes"] > memory_bytes]
    names = {row["variant"] for row in oversized}
    return {name: own for name, own in variants.items() if name not in names}, oversized
