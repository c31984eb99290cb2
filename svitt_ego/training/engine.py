"""The DeepSpeed engine of a run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from svitt_ego.config.base import BaseRecipe
from svitt_ego.profiling.recorder import MemoryRecorder
from svitt_ego.training.accelerator import deepspeed, get_accelerator
from svitt_ego.training.deepspeed_config import (
    offloads_optimizer,
    precision_of,
    zero_stage_of,
)
from svitt_ego.training.job import Task
from svitt_ego.training.optimizer import build_optimizer
from svitt_ego.training.schedule import learning_rate_share
from svitt_ego.training.sharded_weights import held_of


def build_engine(
    task: Task, recipe: BaseRecipe, config: dict[str, Any], steps_per_epoch: int
) -> Any:
    """Wrap the task for ZeRO with AdamW and the recipe's schedule.

    The schedule is a `LambdaLR`, so DeepSpeed advances it only with steps that were taken and keeps
    its position in checkpoints.
    """
    settings = recipe.optimisation
    optimizer = build_optimizer(
        task,
        settings,
        fused=get_accelerator().device_name() != "cpu" or offloads_optimizer(config),
        guarded=zero_stage_of(config) == 0 and precision_of(config) == "fp32",
    )
    total_steps = recipe.training.epochs * steps_per_epoch
    warmup_steps = min(round(settings.warmup_epochs * steps_per_epoch), total_steps)
    schedule = LambdaLR(
        optimizer,
        lambda step: learning_rate_share(
            step, warmup_steps, total_steps, settings.final_learning_rate_share
        ),
    )
    engine, *_ = deepspeed.initialize(
        model=task, optimizer=optimizer, lr_scheduler=schedule, config=config
    )
    leave_stopping_to_the_run(engine)
    return engine


def leave_stopping_to_the_run(engine: Any) -> None:
    """DeepSpeed raises a bare exception where fp16 overflows at the smallest loss scale; how many
    steps in a row may be left out is the recipe's to say."""
    scaler = getattr(engine.optimizer, "loss_scaler", None)
    if hasattr(scaler, "raise_error_at_min_scale"):
        scaler.raise_error_at_min_scale = False


def memory_recorder(
    engine: Any,
    model: nn.Module,
    device: torch.device,
    snapshot_file: Path | None = None,
    track_every: int = 1,
) -> MemoryRecorder:
    """A recorder that knows which tensors outlive a step, the optimiser's and ZeRO's included.

    Args:
        snapshot_file, track_every: of `MemoryRecorder.for_device`.
    """
    recorder = MemoryRecorder.for_device(device, snapshot_file, track_every)
    recorder.register("parameters", lambda: [t for p in model.parameters() for t in held_of(p)])
    recorder.register("buffers", model.buffers)
    recorder.register("optimizer_states", lambda: _optimizer_tensors(engine))
    recorder.register("gradients", lambda: _partitioned_gradients(engine))
    recorder.watch(model)
    return recorder


def _optimizer_tensors(engine: Any) -> list[Tensor]:
    """What the optimiser keeps between steps: fp32 master partitions and Adam's moments."""
    optimizer = getattr(engine.optimizer, "optimizer", engine.optimizer)
    masters = [p for group in optimizer.param_groups for p in group["params"]]
    # at stage 3 the groups have them only while they are updated
    masters += getattr(engine.optimizer, "fp32_partitioned_groups_flat", [])
    moments = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    return masters + moments


def _partitioned_gradients(engine: Any) -> list[Tensor]:
    """The gradients of this rank's partition, which ZeRO-2 keeps apart from the parameters."""
    by_group = getattr(engine.optimizer, "averaged_gradients", {})
    return [g for group in by_group.values() for g in group or () if isinstance(g, Tensor)]
