"""The pre-training run, from a recipe to checkpoints and records."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from svitt_ego.config import Recipe
from svitt_ego.data.faults import FaultTally
from svitt_ego.data.loader import build_loader, epoch_sampler
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.paths import check_data_paths, check_videos_found
from svitt_ego.data.text import load_tokenizer
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import check_weights
from svitt_ego.training.accelerator import machine, start_distributed
from svitt_ego.training.checkpoint import load_checkpoint, save_checkpoint
from svitt_ego.training.deepspeed_config import resolve_deepspeed_config
from svitt_ego.training.engine import build_engine, memory_recorder
from svitt_ego.training.records import RecordWriter, forget_after
from svitt_ego.training.run_directory import RunDirectory, step_of
from svitt_ego.training.step import step_record, train_step
from svitt_ego.training.task import PretrainingTask, SpecialTokens

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
        resume: continue from the newest checkpoint there, or start where there is none.
        max_steps: stop after this step; the schedule still spans all epochs.
        memory_snapshot: on CUDA, leave each rank's allocator history in the run directory.

    Raises:
        ConfigError: the input cannot be used; one line.
        TooManyFaults: too large a share of the clips was unreadable.
    """
    run = RunDirectory(output_dir)
    run.check_can_start(resume)
    run.check_same_run(recipe)
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    config = resolve_deepspeed_config(deepspeed_config, recipe, world_size, run.path, machine())
    tag = run.newest_tag()
    if tag:
        run.check_same_sharding(config, world_size)
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

    torch.manual_seed(recipe.seed)  # the same initial weights on every rank
    if tag:  # nothing of a pretrained encoder would remain
        model = SViTTEgo(recipe.model, recipe.training.recompute)
        check_weights(model, run.weights_file(tag))
    else:
        model = SViTTEgo.from_recipe(recipe)
    tokens = SpecialTokens(tuple(tokenizer.all_special_ids), tokenizer.mask_token_id)
    task = PretrainingTask(model, recipe.objectives, tokens)

    sampler = epoch_sampler(recipe, len(table), rank, world_size)
    last_step = sampler.steps if max_steps is None else min(sampler.steps, max_steps)
    if tag and step_of(tag) >= last_step:
        if rank == 0:
            log.info("%s: already at step %d of %d", run.path, step_of(tag), sampler.steps)
        return
    device = start_distributed()
    engine = build_engine(task, recipe, config, sampler.steps_per_epoch)
    first_step = load_checkpoint(engine, run, tag)["step"] if tag else 0
    if rank == 0:
        launch = {
            "first_step": first_step,
            "total_steps": sampler.steps,
            "world_size": world_size,
        }
        run.write_setup(recipe, config, launch)
        lost = forget_after(run.records_file, first_step)
        start = f"resuming after step {first_step}" if tag else "starting"
        log.info("%s: %s, to step %d of %d", run.path, start, last_step, sampler.steps)
        if lost:
            log.info("%d steps after the checkpoint were lost and are taken again", lost)
    dist.barrier()

    trainer = _Trainer(recipe, run, engine, model, device, sampler.steps_per_epoch)
    loader = build_loader(recipe, table, tokenizer, rank, world_size, first_step)
    snapshot = run.path / f"memory-rank{rank}.pickle" if memory_snapshot else None
    trainer.run(loader, first_step, last_step, snapshot)


class _Trainer:
    """The loop of one rank."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunDirectory,
        engine: Any,
        model: SViTTEgo,
        device: torch.device,
        steps_per_epoch: int,
    ) -> None:
        self.recipe = recipe
        self.directory = run
        self.engine = engine
        self.model = model
        self.device = device
        self.steps_per_epoch = steps_per_epoch
        self.rank = dist.get_rank()
        self.tally = FaultTally()

    def run(self, loader: Any, first_step: int, last_step: int, snapshot_file: Path | None) -> None:
        training = self.recipe.training
        recorder = memory_recorder(self.engine, self.model, self.device, snapshot_file)
        records = RecordWriter(self.directory.records_file) if self.rank == 0 else None
        batches = iter(loader)
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
                self.tally.add(own.clips, own.faults)
                self.tally.check(self.recipe.data.max_unreadable_share)
                of_ranks = gather_to_rank_0(own)
                if records:
                    record = step_record(
                        self.engine, self.model, of_ranks, step, self.steps_per_epoch
                    )
                    records.write(record)
                    self._to_monitor(record)
                    steps.set_postfix(
                        loss=f"{record['loss']:.3f}", lr=f"{record['learning_rate']:.1e}"
                    )
                if step % training.checkpoint_every_steps == 0 or step == last_step:
                    self._save(step)
        if records:
            records.close()
        tallies = gather_to_rank_0(self.tally)
        if tallies:
            log.info("%s", FaultTally.merged(tallies).summary())

    def _save(self, step: int) -> None:
        shards = save_checkpoint(
            self.engine,
            self.model,
            self.directory,
            step,
            self.recipe.training.keep_checkpoints,
            {"step": step, "recipe": self.recipe.name},
        )
        if self.rank == 0:
            log.info("step %d: checkpoint written, %d files of DeepSpeed", step, shards)

    def _to_monitor(self, record: dict[str, Any]) -> None:
        """To TensorBoard, or whatever else DeepSpeed's monitor is set up for."""
        if not self.engine.monitor.enabled:
            return
        names = {
            "loss": "loss/total",
            "loss_contrastive": "loss/contrastive",
            "loss_vtm": "loss/vtm",
            "loss_mlm": "loss/mlm",
            "learning_rate": "optimisation/learning_rate",
            "gradient_norm": "optimisation/gradient_norm",
            "temperature": "optimisation/temperature",
            "samples_per_s": "speed/samples_per_s",
            "data_s": "speed/data_s",
            "peak_bytes": "memory/peak_bytes",
        }
        events = [
            (name, record[key], record["step"])
            for key, name in names.items()
            if record.get(key) is not None
        ]
        self.engine.monitor.write_events(events)


def gather_to_rank_0(value: Any) -> list[Any]:
    """The values of all ranks on rank 0, nothing elsewhere."""
    values = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(value, values)
    return values or []
