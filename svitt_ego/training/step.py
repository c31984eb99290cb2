"""The one training step: batches in, updated weights and this rank's part of the record out."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from svitt_ego.data.batch import Fault
from svitt_ego.profiling.recorder import MemoryRecorder
from svitt_ego.training.draws import Draws
from svitt_ego.training.job import TrainingBatch

_RESIDENT = "rss_high_water_bytes"
"""In a record: of the rank that has the most."""


@dataclass(frozen=True)
class RankStep:
    """What one rank knows of a step."""

    rank: int
    losses: dict[str, float | None]
    """Mean over the micro-batches, by name of the task's `losses`."""
    applied: bool
    """False: a gradient was not finite, so no weight was changed."""
    rows: tuple[int, ...]
    """In the data, of all that was read."""
    counts: dict[str, int]
    """Of all micro-batches together; see `TrainingBatch.counts`."""
    data_s: float
    """Waiting for the loader."""
    step_s: float
    """All of the step, waiting included."""
    learning_rate: float
    figures: dict[str, float]
    """The task's, after the step."""
    memory: dict[str, Any]
    faults: tuple[Fault, ...]


def train_step(
    engine: Any,
    batches: Iterator[TrainingBatch],
    micro_steps: int,
    seed: int,
    step: int,
    recorder: MemoryRecorder,
    device: torch.device,
) -> RankStep:
    """Forward and backward of each micro-batch, then the optimiser.

    A loss that is not finite makes all gradients so, and the optimiser then leaves the step out.
    """
    started = time.perf_counter()
    taken = [next(batches) for _ in range(micro_steps)]
    data_s = time.perf_counter() - started
    losses: list[tuple[Tensor | None, ...]] = []
    rank = engine.global_rank
    draws = [Draws(seed, step, micro_step, rank) for micro_step in range(micro_steps)]
    learning_rate = engine.get_lr()[0]  # before the schedule moves on
    with recorder.step():
        with recorder.phase("forward"):
            of_step = engine.module.of_step(taken, draws, device)
        for batch, draw, of_micro_step in zip(taken, draws, of_step, strict=True):
            with recorder.phase("data"):
                batch = batch.to(device)
                recorder.mark("inputs", batch.tensors())
            with recorder.phase("forward"):
                loss = engine(batch, draw, of_micro_step)
                losses.append(tuple(x if x is None else x.detach() for x in loss))
                total = loss[0] * (1 + 0 * losses[-1][0])  # times 1, or NaN
            del loss
            with recorder.phase("backward"):
                engine.backward(total)
            del total
            with recorder.phase("optimizer"):
                engine.step()
    means = _mean_losses(engine.module.losses, losses)
    return RankStep(
        rank=rank,
        losses=means,
        applied=engine.was_step_applied(),
        rows=tuple(row for batch in taken for row in batch.rows.tolist()),
        counts=_sums([batch.counts() for batch in taken]),
        data_s=data_s,
        step_s=time.perf_counter() - started,
        learning_rate=learning_rate,
        figures=engine.module.figures(),
        memory=recorder.last,
        faults=tuple(fault for batch in taken for fault in batch.faults),
    )


def step_record(
    engine: Any, of_ranks: Sequence[RankStep], step: int, steps_per_epoch: int
) -> dict[str, Any]:
    """The record of a step: means of the losses over ranks, sums of what was done, the slowest
    rank's times, and the memory of the rank that needed most, where it was tracked."""
    task = engine.module
    losses = {
        name: _mean([rank.losses[name] for rank in of_ranks if rank.losses[name] is not None])
        for name in task.losses
    }
    step_s = max(rank.step_s for rank in of_ranks)
    counts = _sums([rank.counts for rank in of_ranks])
    record = {
        "step": step,
        "epoch": (step - 1) / steps_per_epoch,
        **dict(zip(task.loss_names(), losses.values(), strict=True)),
        "learning_rate": of_ranks[0].learning_rate,
        "gradient_norm": _as_float(engine.get_global_grad_norm()),
        "loss_scale": _as_float(getattr(engine.optimizer, "loss_scale", None)),
        "skipped": not of_ranks[0].applied,
        "skipped_steps": engine.skipped_steps,
        **of_ranks[0].figures,
        **counts,
        "samples_per_s": counts["samples"] / step_s,
        "data_s": max(rank.data_s for rank in of_ranks),
        "step_s": step_s,
        "faults": [vars(fault) for rank in of_ranks for fault in rank.faults],
    }
    resident = [rank.memory.get(_RESIDENT) for rank in of_ranks]
    known = [value for value in resident if value is not None]
    highest = {_RESIDENT: max(known)} if known else {}
    if "peak_bytes" not in of_ranks[0].memory:  # every rank tracks the same steps
        return record | of_ranks[0].memory | highest
    peaks = [rank.memory["peak_bytes"] for rank in of_ranks]
    largest = max(range(len(peaks)), key=peaks.__getitem__)
    return (
        record
        | of_ranks[largest].memory
        | {
            "peak_rank": largest,
            "rank_peak_bytes": peaks,
            "rank_peak_bytes_mean": sum(peaks) / len(peaks),
        }
        | highest
    )


def _mean_losses(
    names: Sequence[str], losses: Sequence[tuple[Tensor | None, ...]]
) -> dict[str, float | None]:
    """One transfer from the device for all of them."""
    given = [place for place, loss in enumerate(losses[0]) if loss is not None]
    table = torch.stack([loss[place].float() for place in given for loss in losses])
    means = table.view(len(given), len(losses)).mean(dim=1).tolist()
    found = dict(zip(given, means, strict=True))
    return {name: found.get(place) for place, name in enumerate(names)}


def _sums(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(count[name] for count in counts) for name in counts[0]}


def _mean(values: Sequence[float]) -> float | None:
    return _as_float(sum(values) / len(values)) if values else None


def _as_float(value: Any) -> float | None:
    """None for what is not known, or not finite: JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)
