"""Checkpoints: DeepSpeed's shards, the weights as safetensors, and a pointer published last.

checkpoints/latest                 name of the newest whole checkpoint
checkpoints/step-000040/
    mp_rank_00_model_states.pt     DeepSpeed: module, schedule, client state
    *_optim_states.pt              DeepSpeed: one shard of the optimiser per rank
    model.safetensors              the model's weights, for evaluation and export
"""

import os
import shutil
from typing import Any

import torch.distributed as dist

from svitt_ego.config import ConfigError
from svitt_ego.durable_files import write_atomically
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import save_weights
from svitt_ego.training.run_directory import RunDirectory, step_of, tag_of


def save_checkpoint(
    engine: Any, model: SViTTEgo, run: RunDirectory, step: int, keep: int, state: dict[str, Any]
) -> int:
    """Write the shards of all ranks, then publish. Returns the number of shard files.

    DeepSpeed would point to the new checkpoint before every rank has written its shard; here the
    pointer moves after a barrier, in one rename, and old checkpoints go last.
    """
    tag = tag_of(step)
    folder = run.checkpoints / tag
    if dist.get_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(model, run.weights_file(tag))
    engine.save_checkpoint(str(run.checkpoints), tag=tag, client_state=state, save_latest=False)
    dist.barrier()
    if dist.get_rank() == 0:
        write_atomically(run.pointer, f"{tag}\n")
        _remove_old(run, step, keep)
    dist.barrier()
    return len(list(folder.glob("*.pt")))


def load_checkpoint(engine: Any, run: RunDirectory, tag: str) -> dict[str, Any]:
    """Restore model, optimiser and schedule of this rank; returns the client state.

    Raises:
        ConfigError: DeepSpeed finds nothing to load.
    """
    folder = run.checkpoints / tag
    path, state = engine.load_checkpoint(str(run.checkpoints), tag=tag)
    if path is None:
        raise ConfigError(f"{folder}: DeepSpeed could not load this checkpoint")
    return state


def _remove_old(run: RunDirectory, published: int, keep: int) -> None:
    """All but the newest `keep`, up to the one just published. Folders of later steps are what
    killed runs left; they are not counted. A half-removed checkpoint never looks like one."""
    for left in run.checkpoints.glob(".*.removing"):
        shutil.rmtree(left)
    steps = (step_of(folder.name) for folder in run.checkpoints.glob("step-*"))
    for step in sorted(step for step in steps if step <= published)[:-keep]:
        doomed = run.checkpoints / f".{tag_of(step)}.removing"
        os.replace(run.checkpoints / tag_of(step), doomed)
        shutil.rmtree(doomed)
