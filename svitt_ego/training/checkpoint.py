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
from svitt_ego.training.run_directory import RunDirectory, tag_of


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
        _remove_old(run, keep)
    dist.barrier()
    return len(list(folder.glob("*.pt")))


def load_checkpoint(engine: Any, run: RunDirectory, tag: str) -> dict[str, Any]:
    """Restore model, optimiser and schedule of this rank; returns the client state.

    Raises:
        ConfigError: written by another number of ranks, or not loadable.
    """
    folder = run.checkpoints / tag
    shards = len(list(folder.glob("*_optim_states.pt")))
    ranks = dist.get_world_size()
    if shards not in (0, ranks):
        raise ConfigError(
            f"{folder}: written by {shards} ranks, this run has {ranks}; resume with {shards} ranks"
        )
    path, state = engine.load_checkpoint(str(run.checkpoints), tag=tag)
    if path is None:
        raise ConfigError(f"{folder}: DeepSpeed could not load this checkpoint")
    return state


def _remove_old(run: RunDirectory, keep: int) -> None:
    """All but the newest `keep`; a half-removed checkpoint never looks like one."""
    for folder in sorted(run.checkpoints.glob("step-*"))[:-keep]:
        doomed = folder.with_name(f".{folder.name}.removing")
        os.replace(folder, doomed)
        shutil.rmtree(doomed)
