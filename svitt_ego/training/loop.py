"""The pre-training run, from a recipe to checkpoints and records."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from svitt_ego.config import Recipe
from svitt_ego.data.loader import build_loader, epoch_sampler
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.paths import check_data_paths, check_videos_found
from svitt_ego.data.text import load_tokenizer
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import check_weights
from svitt_ego.training.accelerator import machine, start_distributed
from svitt_ego.training.batch_split import BatchSplit, split_for, with_split
from svitt_ego.training.checkpoint import find_checkpoint, load_checkpoint
from svitt_ego.training.deepspeed_config import (
    precision_of,
    resolve_deepspeed_config,
    zero_stage_of,
)
from svitt_ego.training.engine import build_engine
from svitt_ego.training.interruption import StopRequest, deaf_workers
from svitt_ego.training.manifest import Manifest, checksum_of_settings
from svitt_ego.training.records import forget_after
from svitt_ego.training.reshard import (
    convert_for_all,
    needs_resharding,
    remove_universal,
    universal_folder,
)
from svitt_ego.training.run_directory import RunDirectory, packages
from svitt_ego.training.run_lock import lock_run
from svitt_ego.training.same_everywhere import check_same_everywhere
from svitt_ego.training.task import PretrainingTask, SpecialTokens
from svitt_ego.training.trainer import Trainer

log = logging.getLogger("svitt_ego")


def pretrain(
    recipe: Recipe,
    deepspeed_config: str,
    output_dir: str | Path,
    resume: bool = False,
    max_steps: int | None = None,
) -> None:
    """Train to the end of the recipe's epochs, or to step `max_steps`, and leave a checkpoint.

    Everything that can be wrong with the input is looked at before anything is written.

    Args:
        deepspeed_config: path of a JSON file of ds_configs/.
        output_dir: the run directory.
        resume: continue from the newest whole checkpoint there, or start where there is none.
        max_steps: stop after this step; the schedule still spans all epochs.

    Raises:
        ConfigError: the input cannot be used; one line.
        TooManyFaults: too large a share of the clips was unreadable.
        TooManySkippedSteps: the loss or gradient was not finite too often.
        CheckpointNotWritten: the last checkpoint could not be written.
        Interrupted: a signal asked to stop; a checkpoint was left.
    """
    run = RunDirectory(output_dir)
    run.check_can_start(resume)
    run.check_same_run(recipe)
    run.check_readable()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    resolve_deepspeed_config(deepspeed_config, recipe, world_size, run.path, machine())
    check_data_paths(recipe)
    table = ClipTable.open(recipe.data.metadata, recipe.data.strict)
    check_videos_found(table, recipe.data.videos)
    if rank == 0 and table.malformed:
        first = table.malformed[0]
        log.warning(
            "%s: %d malformed rows left out, the first in line %d: %s",
            recipe.data.metadata,
            len(table.malformed),
            first.line,
            first.reason,
        )
    tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
    epoch_sampler(recipe, len(table), rank, world_size)
    torch.manual_seed(recipe.seed)  # the same initial weights on every rank
    # what a checkpoint replaces need not be read
    is_fresh = not run.tags()
    model = (
        SViTTEgo.from_recipe(recipe)
        if is_fresh
        else SViTTEgo(recipe.model, recipe.training.recompute)
    )

    stop = StopRequest()
    device = start_distributed()
    lock = lock_run(run.path) if rank == 0 else None
    recipe_checksum = checksum_of_settings(recipe.model_dump(mode="json"))
    check_same_everywhere({"recipe": recipe_checksum, "clips": len(table), **packages()})
    found = find_checkpoint(run)
    start = _Start.at(found, recipe, run, world_size)
    config = resolve_deepspeed_config(
        deepspeed_config, start.recipe, world_size, run.path, machine()
    )
    if start.folder:
        check_weights(model, start.folder / run.weights_name)

    sampler = epoch_sampler(start.recipe, len(table), rank, world_size)
    last_step = sampler.steps if max_steps is None else min(sampler.steps, max_steps)
    if start.folder and start.step >= last_step:
        if rank == 0:
            log.info("%s: already at step %d of %d", run.path, start.step, sampler.steps)
        return
    tokens = SpecialTokens(tuple(tokenizer.all_special_ids), tokenizer.mask_token_id)
    task = PretrainingTask(model, recipe.objectives, tokens)
    stage, precision = zero_stage_of(config), precision_of(config)
    engine = _engine_at(start, task, config, sampler.steps_per_epoch, stage, precision)

    split = start.split
    if rank == 0:
        launch = {
            "first_step": start.step,
            "total_steps": sampler.steps,
            "world_size": world_size,
            "micro_batch_size": split.micro_batch_size,
            "gradient_accumulation_steps": split.gradient_accumulation_steps,
        }
        run.write_setup(recipe, config, launch)
        lost = forget_after(run.records_file, start.step)
        forget_after(run.skipped_file, start.step)
        said = f"resuming after step {start.step}" if start.folder else "starting"
        log.info("%s: %s, to step %d of %d", run.path, said, last_step, sampler.steps)
        if lost:
            log.info("%d steps after the checkpoint were lost and are taken again", lost)
    dist.barrier()

    about = Manifest(
        step=start.step,
        world_size=world_size,
        zero_stage=stage,
        precision=precision,
        micro_batch_size=split.micro_batch_size,
        gradient_accumulation_steps=split.gradient_accumulation_steps,
        recipe_checksum=recipe_checksum,
        packages=packages(),
        metrics={},
        files={},
    )
    trainer = Trainer(
        start.recipe, run, engine, model, device, sampler.steps_per_epoch, about, stop
    )
    loader = build_loader(start.recipe, table, tokenizer, rank, world_size, start.step)
    with deaf_workers(loader) as batches:
        trainer.run(batches, start.step, last_step)
    if lock:
        lock.close()


@dataclass(frozen=True)
class _Start:
    """Where a launch begins, the same on all ranks."""

    step: int
    folder: Path | None
    """Of the checkpoint."""
    manifest: Manifest | None
    split: BatchSplit
    recipe: Recipe
    """With the split's sizes."""

    @classmethod
    def at(
        cls,
        found: tuple[str, Manifest] | None,
        recipe: Recipe,
        run: RunDirectory,
        world_size: int,
    ) -> "_Start":
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
        over_step = training.contrastive_batch == "step"
        split = split_for(was, asked, over_step, is_new)
        if split != asked and dist.get_rank() == 0:
            log.info("the checkpoint's steps took %s; now %s, the same clips a step", was, split)
        return cls(manifest.step, run.checkpoints / tag, manifest, split, with_split(recipe, split))


def _engine_at(
    start: _Start,
    task: PretrainingTask,
    config: dict[str, Any],
    steps_per_epoch: int,
    stage: int,
    precision: str,
) -> Any:
    """The engine, with the state of the checkpoint that the run starts from."""
    if start.folder is None or start.manifest is None:
        return build_engine(task, start.recipe, config, steps_per_epoch)
    world_size = start.split.world_size
    if not needs_resharding(start.manifest, world_size, stage, precision, start.folder):
        engine = build_engine(task, start.recipe, config, steps_per_epoch)
        load_checkpoint(engine, start.folder)
        return engine
    if dist.get_rank() == 0:
        was = start.manifest
        log.info(
            "the checkpoint is of %d ranks at ZeRO stage %d; converting it for %d at stage %d",
            *(was.world_size, was.zero_stage, world_size, stage),
        )
    convert_for_all(start.folder)
    universal = config | {"checkpoint": {"load_universal": True}}
    engine = build_engine(task, start.recipe, universal, steps_per_epoch)
    load_checkpoint(engine, universal_folder(start.folder))
    remove_universal(start.folder)
    return engine
