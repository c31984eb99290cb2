"""Predicted against measured peaks, on CPU runs that this machine can do."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svitt_ego.config import load_recipe
from svitt_ego.cpu_features import cpu_computes_bf16
from svitt_ego.profiling.planning.fake_gpu import HOST
from svitt_ego.profiling.planning.measured_run import measure
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.units import show_bytes
from svitt_ego.training.deepspeed_config import Machine, resolve_deepspeed_config

CONFIG = "ds_configs/zero2_cpu.json"
DENSE = ("model.video.edge_sparsity=null", "model.video.node_sparsity=null")


@dataclass(frozen=True)
class Case:
    """A run that is both planned and measured; what is not said is the recipe `demo`'s."""

    name: str
    stage: int
    ranks: int
    overrides: Sequence[str] = field(default_factory=tuple)


CASES = (
    Case("dense, probabilities stored", 2, 1, (*DENSE, "model.video.dense_attention=materialised")),
    Case("dense, efficient", 2, 1, DENSE),
    Case("edges (1, 3)", 2, 1, ("model.video.node_sparsity=null",)),
    Case("edges (1, 3) and nodes", 2, 1),
    Case("edges (1, 5) and nodes", 2, 1, ("model.video.edge_sparsity.random_blocks=5",)),
    Case("recomputed attention", 2, 1, ("training.recompute.what=attention",)),
    Case("recomputed layers", 2, 1, ("training.recompute.what=layers",)),
    Case("8 frames", 2, 1, ("data.frames=8", "model.video.max_frames=8")),
    Case("ZeRO 1", 1, 1),
    Case("ZeRO 1, two ranks", 1, 2),
    Case("ZeRO 2, two ranks, recomputed layers", 2, 2, ("training.recompute.what=layers",)),
    Case("ZeRO 2, two ranks", 2, 2),
    Case("ZeRO 3", 3, 1),
    Case("ZeRO 3, two ranks", 3, 2),
    Case("ZeRO 3, two ranks, recomputed layers", 3, 2, ("training.recompute.what=layers",)),
)
MICRO_BATCH = 8
"""Enough for activations to matter beside the weights."""


@dataclass(frozen=True)
class Row:
    case: Case
    predicted: dict[str, int]
    """Category -> bytes at the peak."""
    measured: dict[str, int]

    @property
    def error(self) -> float:
        """Of the predicted peak, relative to the measured one."""
        return sum(self.predicted.values()) / sum(self.measured.values()) - 1


def check(cases: Sequence[Case], progress: Callable[[str], None] = lambda _: None) -> list[Row]:
    rows = []
    for case in cases:
        progress(case.name)
        recipe = load_recipe("demo", [f"training.micro_batch_size={MICRO_BATCH}", *case.overrides])
        machine = Machine("cpu", fp16=False, bf16=cpu_computes_bf16())
        config: dict[str, Any] = resolve_deepspeed_config(
            CONFIG, recipe, case.ranks, Path(os.devnull), machine
        )
        config["tensorboard"] = {"enabled": False}
        config["zero_optimization"]["stage"] = case.stage
        with PlannedRun(recipe, config, case.ranks, HOST) as run:
            predicted = run.step(MICRO_BATCH).memory.peak.peak_bytes_by_category
        measured = measure(recipe, config, case.ranks)["peak_bytes_by_category"]
        rows.append(Row(case, predicted, measured))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    lines = ["| case | ZeRO | ranks | predicted | measured | error |", "|---|---|---|---|---|---|"]
    for row in rows:
        peaks = [show_bytes(sum(split.values())) for split in (row.predicted, row.measured)]
        lines.append(
            f"| {row.case.name} | {row.case.stage} | {row.case.ranks} | {peaks[0]} | {peaks[1]} "
            f"| {row.error:z.2%} |"
        )
    return "\n".join(lines)
