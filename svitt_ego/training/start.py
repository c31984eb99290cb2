"""Where a launch begins: at nothing, or at a checkpoint, of as many ranks or others."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from svitt_ego.config.base import BaseRecipe
from svitt_ego.training.agreement import on_rank_0
from svitt_ego.training.batch_split import BatchSplit, split_for, with_split
from svitt_ego.training.checkpoint import load_checkpoint
from svitt_ego.training.deepspeed_config import zero_stage_of
from svitt_ego.training.engine import build_engine
from svitt_ego.training.job import Task
from svitt_ego.training.manifest import Manifest
from svitt_ego.training.reshard import (
    convert,
    needs_resharding,
    remove_universal,
    universal_folder,
)
from svitt_ego.training.run_directory import RunDirectory

log = logging.getLogger("svitt_ego")


@dataclass(frozen=True)
class Start:
    """Where a launch begins, the same on all ranks."""

    step: int
    folder: Path | None
    """Of the checkpoint."""
    manifest: Manifest | None
    split: BatchSplit
    recipe: BaseRecipe
    """With the split's sizes."""

    @classmethod
    def at(
        cls,
        found: tuple[str, Manifest] | None,
        recipe: BaseRecipe,
        run: RunDirectory,
        world_size: int,
    ) -> "Start":
        training = recipe.training
        asked = BatchSplit(
            world_size, training.micro_batch_size, training.gradient_accumulation_steps
        )
        if found is None:
            return cls(0, None, None, asked, recipe)
        tag, manifest = found
        was = BatchSplit(
            manifest.world_size, manifest.micro_batch_size, manifest.gradient_accumulation_steps
        )
        before = run.read_recipe().training
        is_new = (before.micro_batch_size, before.gradient_accumulation_steps) != (
            training.micro_batch_size,
            training.gradient_accumulation_steps,
        )
        split = split_for(was, asked, training.compares_micro_batch, is_new)
        if split != asked and dist.get_rank() == 0:
            log.info("the checkpoint's steps took %s; now %s, the same samples a step", was, split)
        return cls(manifest.step, run.checkpoints / tag, manifest, split, with_split(recipe, split))


def engine_at(start: Start, task: Task, config: dict[str, Any], steps_per_epoch: int) -> Any:
    """The engine, with the state of the checkpoint that the run starts from."""
    if start.folder is None or start.manifest is None:
        return build_engine(task, start.recipe, config, steps_per_epoch)
    world_size = start.split.world_size
    if not needs_resharding(start.manifest, world_size, config, start.folder):
        engine = build_engine(task, start.recipe, config, steps_per_epoch)
        load_checkpoint(engine, start.folder)
        return engine
    if dist.get_rank() == 0:
        was = start.manifest
        log.info(
            "the checkpoint is of %d ranks at ZeRO stage %d; converting it for %d at stage %d",
            *(was.world_size, was.zero_stage, world_size, zero_stage_of(config)),
        )
    on_rank_0(convert, start.folder)
    universal = config | {"checkpoint": {"load_universal": True}}
    engine = build_engine(task, start.recipe, universal, steps_per_epoch)
    load_checkpoint(engine, universal_folder(start.folder))
    remove_universal(start.folder)
    return engine
