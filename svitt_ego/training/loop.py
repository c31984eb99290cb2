"""A training run, from a job to checkpoints and records."""

import logging
import os
from pathlib import Path
from typing import Any

import torch

from svitt_ego.config import ConfigError
from svitt_ego.config.base import BaseRecipe
from svitt_ego.data.sampler import epoch_sampler
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
from svitt_ego.training.job import Job
from svitt_ego.training.manifest import Manifest, checksum_of_settings
from svitt_ego.training.records import forget_after
from svitt_ego.training.run_directory import RunDirectory, packages
from svitt_ego.training.run_lock import lock_run
from svitt_ego.training.same_everywhere import check_same_everywhere
from svitt_ego.training.start import Start, engine_at
from svitt_ego.training.trainer import Trainer

log = logging.getLogger("svitt_ego")


def train(
    job: Job,
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
    recipe = job.recipe
    run = RunDirectory(output_dir, type(recipe))
    run.check_can_start(resume)
    run.check_same_run(recipe)
    run.check_readable()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    resolve_deepspeed_config(deepspeed_config, recipe, world_size, run.path, machine())
    job.open_data(is_first=rank == 0)
    torch.manual_seed(recipe.seed)  # the same initial weights on every rank
    resumes = bool(run.tags())
    if not resumes:
        epoch_sampler(recipe, job.samples, rank, world_size)  # is an epoch long enough?
    model = job.build_model(resumes)

    stop = StopRequest()
    device = start_distributed()
    lock = on_rank_0(lock_run, run.path)
    recipe_checksum = checksum_of_settings(recipe.model_dump(mode="json"))
    check_same_everywhere({"recipe": recipe_checksum, **job.facts(), **packages()})
    found = find_checkpoint(run)
    start = Start.at(found, recipe, run, world_size)
    config = resolve_deepspeed_config(
        deepspeed_config, start.recipe, world_size, run.path, machine()
    )
    if start.folder:
        check_weights(model, start.folder / run.weights_name)

    sampler = epoch_sampler(start.recipe, job.samples, rank, world_size)
    last_step = sampler.steps if max_steps is None else min(sampler.steps, max_steps)
    if start.folder and start.step >= last_step:
        if rank == 0:
            log.info("%s: already at step %d of %d", run.path, start.step, sampler.steps)
        leave_distributed()
        return
    engine = engine_at(start, job.build_task(model), config, sampler.steps_per_epoch)
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
        start.recipe,
        run,
        engine,
        device,
        sampler.steps_per_epoch,
        about,
        stop,
    )
    loader = job.loader(start.recipe, rank, world_size, start.step)
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
    run: RunDirectory, recipe: BaseRecipe, config: dict[str, Any], start: Start, total_steps: int
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
