"""The one training step: batches in, updated weights and this rank's part of the record out."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from svitt_ego.data.batch import Batch, Fault
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.recorder import MemoryRecorder
from svitt_ego.training.cached_contrastive import CachedContrastive, cache_contrastive
from svitt_ego.training.draws import Draws
from svitt_ego.training.sharded_weights import gathered
from svitt_ego.training.task import Losses, OfStep, PretrainingTask

LOSSES = ("total", "contrastive", "vtm", "mlm")


@dataclass(frozen=True)
class RankStep:
    """What one rank knows of a step."""

    rank: int
    losses: dict[str, float | None]
    """Mean over the micro-batches, by name of `LOSSES`."""
    applied: bool
    """False: a gradient was not finite, so no weight was changed."""
    rows: tuple[int, ...]
    """In the metadata, of all clips."""
    samples: int
    """Anchors."""
    clips: int
    """That entered the video encoder: anchors and scene-aware negatives."""
    random_negatives: int
    """Anchors without a scene-aware negative."""
    data_s: float
    """Waiting for the loader."""
    step_s: float
    """All of the step, waiting included."""
    learning_rate: float
    temperature: float
    """After the step."""
    memory: dict[str, Any]
    faults: tuple[Fault, ...]


def train_step(
    engine: Any,
    batches: Iterator[Batch],
    micro_steps: int,
    over_step: bool,
    seed: int,
    step: int,
    recorder: MemoryRecorder,
    device: torch.device,
) -> RankStep:
    """Forward and backward of each micro-batch, then the optimiser.

    A loss that is not finite makes all gradients so, and the optimiser then leaves the step out.

    Args:
        over_step: the contrastive loss is over all micro-batches, not over each.
    """
    started = time.perf_counter()
    taken = [next(batches) for _ in range(micro_steps)]
    data_s = time.perf_counter() - started
    losses: list[Losses] = []
    rank = engine.global_rank
    draws = [Draws(seed, step, micro_step, rank) for micro_step in range(micro_steps)]
    learning_rate = engine.get_lr()[0]  # before the schedule moves on
    with recorder.step():
        masked_tokens = _mean_masked_tokens(engine.module, taken, draws, device)
        cached: Sequence[CachedContrastive | None] = [None] * micro_steps
        if over_step:
            with recorder.phase("forward"):
                cached = _cache_contrastive(engine.module, taken, draws, device)
        for batch, draw, contrastive in zip(taken, draws, cached, strict=True):
            with recorder.phase("data"):
                batch = batch.to(device)
                recorder.mark("inputs", batch.tensors())
            with recorder.phase("forward"):
                loss = engine(batch, draw, OfStep(masked_tokens, contrastive))
                losses.append(loss.detached())
                total = loss.total * (1 + 0 * losses[-1].total)  # times 1, or NaN
            del loss
            with recorder.phase("backward"):
                engine.backward(total)
            del total
            with recorder.phase("optimizer"):
                engine.step()
    means = _mean_losses(losses)
    return RankStep(
        rank=rank,
        losses=means,
        applied=engine.was_step_applied(),
        rows=tuple(row for batch in taken for row in batch.rows.tolist()),
        samples=sum(batch.anchors for batch in taken),
        clips=sum(len(batch.video) for batch in taken),
        random_negatives=sum(batch.random_negatives for batch in taken),
        data_s=data_s,
        step_s=time.perf_counter() - started,
        learning_rate=learning_rate,
        temperature=_temperature(engine.module.model),
        memory=recorder.last,
        faults=tuple(fault for batch in taken for fault in batch.faults),
    )


def _temperature(model: SViTTEgo) -> float:
    with gathered([model.temperature_parameter]):
        return model.temperature().item()


def _mean_masked_tokens(
    task: PretrainingTask, batches: Sequence[Batch], draws: Sequence[Draws], device: torch.device
) -> float | None:
    """Of a micro-batch, over all of the step's, all ranks'."""
    masked = [task.mask(batch, draw) for batch, draw in zip(batches, draws, strict=True)]
    if masked[0] is None:
        return None
    tokens = torch.tensor(sum(len(m.labels) for m in masked), dtype=torch.float32, device=device)
    dist.all_reduce(tokens)
    return tokens.item() / (len(batches) * dist.get_world_size())


def _cache_contrastive(
    task: PretrainingTask, batches: Sequence[Batch], draws: Sequence[Draws], device: torch.device
) -> list[CachedContrastive]:
    pairs = zip(batches, draws, strict=True)
    features = [task(batch.to(device), draw, only_features=True) for batch, draw in pairs]
    return cache_contrastive(features, task.contrastive_loss)


def step_record(
    engine: Any,
    of_ranks: Sequence[RankStep],
    step: int,
    steps_per_epoch: int,
) -> dict[str, Any]:
    """The record of a step: means of the losses over ranks, sums of what was done, the slowest
    rank's times, and the memory of the rank that needed most."""
    losses = {
        name: _mean([rank.losses[name] for rank in of_ranks if rank.losses[name] is not None])
        for name in LOSSES
    }
    step_s = max(rank.step_s for rank in of_ranks)
    samples = sum(rank.samples for rank in of_ranks)
    record = {
        "step": step,
        "epoch": (step - 1) / steps_per_epoch,
        "loss": losses.pop("total"),
        **{f"loss_{name}": value for name, value in losses.items()},
        "learning_rate": of_ranks[0].learning_rate,
        "gradient_norm": _as_float(engine.get_global_grad_norm()),
        "loss_scale": _as_float(getattr(engine.optimizer, "loss_scale", None)),
        "skipped": not of_ranks[0].applied,
        "skipped_steps": engine.skipped_steps,
        "temperature": of_ranks[0].temperature,
        "samples": samples,
        "clips": sum(rank.clips for rank in of_ranks),
        "random_negatives": sum(rank.random_negatives for rank in of_ranks),
        "samples_per_s": samples / step_s,
        "data_s": max(rank.data_s for rank in of_ranks),
        "step_s": step_s,
        "faults": [vars(fault) for rank in of_ranks for fault in rank.faults],
    }
    peaks = [rank.memory.get("peak_bytes", 0) for rank in of_ranks]
    largest = max(range(len(peaks)), key=peaks.__getitem__)
    return (
        record
        | of_ranks[largest].memory
        | {
            "peak_rank": largest,
            "rank_peak_bytes": peaks,
            "rank_peak_bytes_mean": sum(peaks) / len(peaks),
        }
    )


def _mean_losses(losses: Sequence[Losses]) -> dict[str, float | None]:
    """One transfer from the device for all of them."""
    names = [name for name in LOSSES if getattr(losses[0], name) is not None]
    table = torch.stack([getattr(loss, name).float() for name in names for loss in losses])
    means = table.view(len(names), len(losses)).mean(dim=1).tolist()
    return {name: None for name in LOSSES} | dict(zip(names, means, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return _as_float(sum(values) / len(values)) if values else None


def _as_float(value: Any) -> float | None:
    """None for what is not known, or not finite: JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)
