"""Checkpoints: DeepSpeed's shards, the weights as safetensors, and a pointer published last.

checkpoints/latest                 name of the newest whole checkpoint
checkpoints/step-000040/
    mp_rank_00_model_states.pt     DeepSpeed: module, schedule, client state
    *_optim_states.pt              DeepSpeed: one shard of the optimiser per rank
    model.safetensors              the model's weights, for evaluation and export
"""

import os
import shutil
from pathlib import Path
from typing import Any

import deepspeed.comm as dist
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from svitt_ego.config import ConfigError, Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.models.misfit import misfit
from svitt_ego.training.run_directory import RunDirectory, write_atomically

POINTER = "latest"
WEIGHTS = "model.safetensors"


def tag_of(step: int) -> str:
    return f"step-{step:06d}"


def newest_tag(checkpoints: Path) -> str | None:
    """The published checkpoint, or None where there is none yet.

    Raises:
        ConfigError: the pointer names a checkpoint that is not there.
    """
    pointer = checkpoints / POINTER
    if not pointer.is_file():
        return None
    tag = pointer.read_text(encoding="utf-8").strip()
    if not (checkpoints / tag / WEIGHTS).is_file():
        raise ConfigError(
            f"{pointer}: names {tag!r}, which is not a whole checkpoint; write the name of another "
            f"folder of {checkpoints} into it"
        )
    return tag


def save_checkpoint(
    engine: Any, model: SViTTEgo, checkpoints: Path, step: int, keep: int, state: dict[str, Any]
) -> int:
    """Write the shards of all ranks, then publish. Returns the number of shard files.

    DeepSpeed would point to the new checkpoint before every rank has written its shard; here the
    pointer moves after a barrier, in one rename, and old checkpoints go last.
    """
    tag = tag_of(step)
    folder = checkpoints / tag
    if dist.get_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
    engine.save_checkpoint(str(checkpoints), tag=tag, client_state=state, save_latest=False)
    dist.barrier()
    if dist.get_rank() == 0:
        write_atomically(checkpoints / POINTER, tag + "\n")
        _remove_old(checkpoints, keep)
    dist.barrier()
    return len(list(folder.glob("*.pt")))


def load_checkpoint(engine: Any, model: SViTTEgo, checkpoints: Path, tag: str) -> dict[str, Any]:
    """Restore model, optimiser and schedule of this rank; returns the client state.

    Raises:
        ConfigError: another architecture or another number of ranks.
    """
    folder = checkpoints / tag
    check_architecture(model, folder / WEIGHTS)
    shards = len(list(folder.glob("*_optim_states.pt")))
    ranks = dist.get_world_size()
    if shards not in (0, ranks):
        raise ConfigError(
            f"{folder}: written by {shards} ranks, this run has {ranks}; resume with {shards} ranks"
        )
    path, state = engine.load_checkpoint(str(checkpoints), tag=tag)
    if path is None:
        raise ConfigError(f"{folder}: DeepSpeed could not load this checkpoint")
    return state


def check_architecture(model: nn.Module, weights: Path) -> None:
    """Compare names and shapes with a weights file, without reading the weights.

    Raises:
        ConfigError: which keys are missing or unknown, which shapes differ.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    try:
        with safe_open(weights, framework="pt") as file:
            saved = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises its own, undocumented, exception types
        raise ConfigError(f"{weights}: not a readable safetensors file ({error})") from None
    problems = misfit(own, saved)
    if problems:
        raise ConfigError(f"{weights}: of another architecture than the recipe's model: {problems}")


def load_trained_model(run: str | Path, tag: str | None = None) -> tuple[SViTTEgo, Recipe]:
    """The model of a run directory, in evaluation mode, in fp32, and its recipe.

    Raises:
        ConfigError: no run, no checkpoint, or weights that do not fit the recipe.
    """
    directory = RunDirectory(run)
    recipe = directory.read_recipe()
    tag = tag or newest_tag(directory.checkpoints)
    weights = directory.checkpoints / str(tag) / WEIGHTS
    if tag is None or not weights.is_file():
        found = sorted(p.parent.name for p in directory.checkpoints.glob(f"*/{WEIGHTS}"))
        raise ConfigError(
            f"{run}: has no checkpoint{f' {tag!r}' if tag else ''}; "
            f"there are: {', '.join(found) or 'none'}"
        )
    model = SViTTEgo(recipe.model)
    check_architecture(model, weights)
    model.load_state_dict(load_file(weights))
    return model.eval(), recipe


def _remove_old(checkpoints: Path, keep: int) -> None:
    tags = sorted(p for p in checkpoints.glob("step-*") if p.is_dir())
    for folder in tags[:-keep]:
        doomed = folder.with_name(f".{folder.name}.removing")
        os.replace(folder, doomed)  # a half-removed checkpoint must not look like one
        shutil.rmtree(doomed)
