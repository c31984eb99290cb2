"""The loop of one rank: steps, records, checkpoints, and when to stop."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from svitt_ego.config.base import BaseRecipe
from svitt_ego.data.faults import FaultTally
from svitt_ego.training.agreement import to_rank_0
from svitt_ego.training.checkpoint import CheckpointNotWritten, save_checkpoint
from svitt_ego.training.engine import memory_recorder
from svitt_ego.training.interruption import Interrupted, StopRequest
from svitt_ego.training.job import TrainingBatch
from svitt_ego.training.manifest import Manifest
from svitt_ego.training.metrics import MeanLosses
from svitt_ego.training.monitor import Monitor
from svitt_ego.training.records import RecordWriter
from svitt_ego.training.run_directory import RunDirectory
from svitt_ego.training.skipped_steps import SkippedSteps
from svitt_ego.training.step import step_record, train_step

log = logging.getLogger("svitt_ego")


class Trainer:
    def __init__(
        self,
        recipe: BaseRecipe,
        run: RunDirectory,
        engine: Any,
        device: torch.device,
        steps_per_epoch: int,
        about: Manifest,
        stop: StopRequest,
    ) -> None:
        """
        Args:
            engine: of a `Task`.
            about: what the manifests of this launch share.
        """
        task = engine.module
        self.recipe = recipe
        self.directory = run
        self.engine = engine
        self.model = task.model
        self.device = device
        self.steps_per_epoch = steps_per_epoch
        self.about = about
        self.stop = stop
        self.rank = dist.get_rank()
        self.tally = FaultTally()
        self.skipped = SkippedSteps(run.skipped_file, recipe.optimisation.max_skipped_steps)
        self.metrics = MeanLosses(task.loss_names())
        self.monitor = Monitor(engine, task.loss_names(), tuple(task.figures()))
        self._stall_s = 0.0
        """That training stood still for a checkpoint since the last record."""

    def run(
        self,
        batches: Iterator[TrainingBatch],
        first_step: int,
        last_step: int,
        snapshot_file: Path | None = None,
    ) -> None:
        """Steps `first_step` + 1 to `last_step`; `snapshot_file` takes the allocator's history.

        Raises:
            TooManyFaults, TooManySkippedSteps, CheckpointNotWritten, Interrupted: see `train`.
        """
        training = self.recipe.training
        recorder = memory_recorder(
            self.engine,
            self.model,
            self.device,
            snapshot_file,
            training.track_memory_every_steps,
        )
        records = RecordWriter(self.directory.records_file) if self.rank == 0 else None
        steps = tqdm(
            range(first_step + 1, last_step + 1),
            initial=first_step,
            total=last_step,
            desc="training",
            unit="step",
            disable=self.rank != 0,
        )
        with logging_redirect_tqdm():
            for step in steps:
                own = train_step(
                    self.engine,
                    batches,
                    training.gradient_accumulation_steps,
                    self.recipe.seed,
                    step,
                    recorder,
                    self.device,
                )
                self.tally.add(own.counts["clips"], own.faults)
                self.tally.check(self.recipe.data.max_unreadable_share)
                of_ranks = to_rank_0(own)
                if records:
                    record = step_record(self.engine, of_ranks, step, self.steps_per_epoch)
                    record["checkpoint_s"] = self._stall_s
                    self._stall_s = 0.0
                    records.write(record)
                    self.metrics.add(record)
                    self.monitor.write(record)
                    steps.set_postfix(
                        loss=f"{record['loss'] or float('nan'):.3f}",
                        lr=f"{record['learning_rate']:.1e}",
                    )
                self.skipped.note(step, own, of_ranks, self._loss_scale())
                asked_to_stop = self.stop.agreed(self.device)
                if step == last_step or asked_to_stop:
                    self._save(step)
                elif step % training.checkpoint_every_steps == 0:
                    try:
                        self._save(step)
                    except CheckpointNotWritten as error:
                        if self.rank == 0:
                            log.warning("step %d: %s; training goes on", step, error)
                if asked_to_stop and step < last_step:
                    if self.rank == 0:
                        log.info("stopped after step %d; --resume auto goes on from there", step)
                    raise Interrupted
        if records:
            records.close()
        tallies = to_rank_0(self.tally)
        if tallies:
            log.info("%s", FaultTally.merged(tallies).summary())

    def _save(self, step: int) -> None:
        started = time.perf_counter()
        about = replace(self.about, step=step, metrics=self.metrics.take())
        written = save_checkpoint(
            self.engine, self.model, self.directory, about, self.recipe.training
        )
        self._stall_s = time.perf_counter() - started
        if written:
            size = f"{len(written.files)} files, {written.bytes / 2**30:.2f} GiB"
            log.info("step %d: checkpoint written, %s in %.1f s", step, size, self._stall_s)

    def _loss_scale(self) -> float | None:
        scale = getattr(self.engine.optimizer, "loss_scale", None)
        return None if scale is None else float(scale)
