"""The pre-training run, from a recipe to checkpoints and records."""

import logging
import os
from pathlib import Path
from typing import Any

import torch

from svitt_ego.config import ConfigError, Recipe
from svitt_ego.data.loader import build_loader, epoch_sampler
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.paths import check_data_paths, check_videos_found
from svitt_ego.data.skip_list import read_skip_list
from svitt_ego.data.text import load_tokenizer
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import check_weights
from svitt_ego.training.accelerator import leave_distributed, machine, start_distributed
from svitt_ego.training.agreement import on_rank_0
from svitt_ego.training.checkpoint import find_checkpoint
from svitt_ego.training.deepspeed_config import (
    offloads_optimizer,
    precision_of,
    resolve_deepspeed_config,
    zero_stage_of,
)
from svitt_ego.training.interruption import Interrupted, StopRequest, deaf_workers
from svitt_ego.training.manifest import Manifest, checksum_of_settings
from svitt_ego.training.records import forget_after
from svitt_ego.training.run_directory import RunDirectory, packages
from svitt_ego.training.run_lock import lock_run
from svitt_ego.training.same_everywhere import check_same_everywhere
from svitt_ego.training.start import Start, engine_at
from svitt_ego.training.task import PretrainingTask, SpecialTokens
from svitt_ego.training.trainer import Trainer

log = logging.getLogger("svitt_ego")


def pretrain(
    recipe: Recipe,
    deepspeed_config: str,
    output_dir: str | Path,
    resume: bool = False,
    max_steps: int | None = None,
    memory_snapshot: bool = False,
) -> None:
    """Train to the end of the recipe's epochs, or to step `max_steps`, and leave a checkpoint.

    Everything that can be wrong with the input is looked at before anything is written.

    Args:
        deepspeed_config: path of a JSON file of ds_configs/.
        output_dir: the run directory.
        resume: continue from the newest whole checkpoint there, or start where there is none.
        max_steps: stop after this step; the schedule still spans all epochs.
        memory_snapshot: on CUDA, leave each rank's allocator history in the run directory.

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
    table = ClipTable.open(recipe.data.metadata, recipe.data.strict, progress=rank == 0)
    check_videos_found(table, recipe.data.videos)
    if recipe.data.skip_list:
        read_skip_list(recipe.data.skip_list, table)
    if rank == 0:
        _warn_of_malformed_rows(table, recipe.data.metadata)
    tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
    torch.manual_seed(recipe.seed)  # the same initial weights on every rank
    if run.tags():  # nothing of a pretrained encoder would remain
        model = SViTTEgo(recipe.model, recipe.training.recompute)
    else:
        epoch_sampler(recipe, len(table), rank, world_size)  # is an epoch long enough?
        model = SViTTEgo.from_recipe(recipe)

    stop = StopRequest()
    device = start_distributed()
    lock = on_rank_0(lock_run, run.path)
    recipe_checksum = checksum_of_settings(recipe.model_dump(mode="json"))
    check_same_everywhere({"recipe": recipe_checksum, "clips": len(table), **packages()})
    found = find_checkpoint(run)
    start = Start.at(found, recipe, run, world_size)
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
        leave_distributed()
        return
    tokens = SpecialTokens(tuple(tokenizer.all_special_ids), tokenizer.mask_token_id)
    task = PretrainingTask(model, recipe.objectives, tokens)
    engine = engine_at(start, task, config, sampler.steps_per_epoch)
    on_rank_0(_write_setup, run, recipe, config, start, sampler.steps)
    if rank == 0:
        said = f"resuming after step {start.step}" if start.folder else "starting"
        log.info("%s: %s, to step %d of %d", run.path, said, last_step, sampler.steps)

    about = Manifest(
        step=start.step,
        world_size=world_size,
        zero_stage=zero_stage_of(config),
        offloads_optimizer=offloads_optimizer(config),
        precision=precision_of(config),
        micro_batch_size=start.split.micro_batch_size,
        gradient_accumulation_steps=start.split.gradient_accumulation_steps,
        recipe_checksum=recipe_checksum,
        packages=packages(),
        metrics={},
        files={},
    )
    trainer = Trainer(
        start.recipe, run, engine, model, device, sampler.steps_per_epoch, about, stop
    )
    loader = build_loader(start.recipe, table, tokenizer, rank, world_size, start.step)
    snapshot = run.path / f"memory-rank{rank}.pickle" if memory_snapshot else None
    try:
        with deaf_workers(loader) as batches:
            trainer.run(batches, start.step, last_step, snapshot)
    except Interrupted:
        leave_distributed()
        raise
    leave_distributed()
    if lock:
        lock.close()


def _write_setup(
    run: RunDirectory, recipe: Recipe, config: dict[str, Any], start: Start, total_steps: int
) -> None:
    launch = {
        "first_step": start.step,
        "total_steps": total_steps,
        "world_size": start.split.world_size,
        "micro_batch_size": start.split.micro_batch_size,
        "gradient_accumulation_steps": start.split.gradient_accumulation_steps,
    }
    try:
        run.write_setup(recipe, config, launch)
        lost = forget_after(run.records_file, start.step)
        forget_after(run.skipped_file, start.step)
    except OSError as error:
        raise ConfigError(f"{run.path}: cannot be written to: {error.strerror}") from None
    if lost:
        log.info("%d steps after the checkpoint were lost and are taken again", lost)


def _warn_of_malformed_rows(table: ClipTable, path: str) -> None:
    if table.malformed:
        first = table.malformed[0]
        log.warning(
            "%s: %d malformed rows left out, the first in line %d: %s",
            path,
            table.manifest.malformed_rows,
            first.line,
            first.reason,
        )
