"""Checkpoints that are whole or not there.

checkpoints/latest                 name of the newest checkpoint
checkpoints/step-000040/
    manifest.json                  sizes and checksums of the files, and what wrote them
    mp_rank_00_model_states.pt     DeepSpeed: module, schedule, client state
    *_optim_states.pt              DeepSpeed: one shard of the optimiser per rank
    model.safetensors              the model's weights, for evaluation and export
checkpoints/.step-000042.partial/  being written, or left by a killed run

All ranks write to the partial folder; when every file is on the disk and listed, it takes its name
in one rename, then the pointer moves, then old checkpoints go. So wherever a run is killed, a
`step-…` folder is whole; only damage from outside can change that, and the checksums tell.
"""

import logging
import os
from pathlib import Path
from pickle import UnpicklingError
from shutil import disk_usage, rmtree
from typing import Any

import torch.distributed as dist
from deepspeed.checkpoint.constants import (
    UNIVERSAL_CHECKPOINT_INFO,
    UNIVERSAL_CHECKPOINT_VERSION_KEY,
    UNIVERSAL_CHECKPOINT_VERSION_VALUE,
)
from torch import Tensor, nn

from svitt_ego.config import ConfigError
from svitt_ego.config.base import BaseTraining
from svitt_ego.durable_files import flush_to_disk, write_atomically
from svitt_ego.models.weights import save_weights
from svitt_ego.training.agreement import (
    first_of_any_rank,
    from_rank_0,
    of_all_ranks,
    on_rank_0,
)
from svitt_ego.training.checkpoint_files import CheckpointFiles
from svitt_ego.training.engine import leave_stopping_to_the_run
from svitt_ego.training.manifest import Manifest, verify
from svitt_ego.training.pickles import check_pickles
from svitt_ego.training.retention import kept_steps
from svitt_ego.training.run_directory import RunDirectory, step_of, tag_of
from svitt_ego.training.sharded_weights import size_of, whole_weights

log = logging.getLogger("svitt_ego")

_SPACE_MARGIN = 1.05
_LEFT_BEHIND = ("partial", "removing", "universal")
"""What ends the names of folders that a killed run did not finish with."""


class CheckpointNotWritten(ConfigError):
    """The disk would not take it. What was there before is untouched."""


def save_checkpoint(
    engine: Any, model: nn.Module, run: RunDirectory, about: Manifest, training: BaseTraining
) -> Manifest | None:
    """Write, list, publish, then tidy up. All ranks must call it.

    Args:
        about: all of the manifest but its files.

    Returns:
        The manifest on rank 0, None elsewhere.

    Raises:
        CheckpointNotWritten: on all ranks; the reason, of whichever rank met it.
    """
    final = run.checkpoints / tag_of(about.step)
    partial = run.checkpoints / f".{final.name}.partial"
    is_first = dist.get_rank() == 0
    _raise_on_all(_prepare(partial, expected_bytes(model)) if is_first else None)

    writer = engine.checkpoint_engine = CheckpointFiles()
    version = {UNIVERSAL_CHECKPOINT_VERSION_KEY: UNIVERSAL_CHECKPOINT_VERSION_VALUE}
    engine.save_checkpoint(
        str(run.checkpoints),
        tag=partial.name,
        client_state={"step": about.step, UNIVERSAL_CHECKPOINT_INFO: version},
        save_latest=False,
    )
    weights = whole_weights(model)
    if is_first and writer.error is None:
        writer.error = _write_weights(weights, partial, writer)
    error = first_of_any_rank(writer.error)
    files = {
        name: file for of_rank in of_all_ranks(writer.written) for name, file in of_rank.items()
    }
    manifest = Manifest(**{**vars(about), "files": dict(sorted(files.items()))})
    if is_first and error is None:
        error = _publish(manifest, partial, final, run.pointer)
    if is_first and error is not None:
        rmtree(partial, ignore_errors=True)
    _raise_on_all(error)
    if is_first:
        remove_old(run, about.step, training)
    return manifest if is_first else None


def newest_whole(run: RunDirectory) -> tuple[str, Manifest] | None:
    """Tag and manifest of the newest checkpoint whose files are all as they were written; damaged
    ones are passed over with a message. None where there is no checkpoint at all.

    Raises:
        ConfigError: there are checkpoints, but none is whole; says what is wrong with each.
    """
    damages: list[str] = []
    for tag in run.tags():
        try:
            manifest = verify(run.checkpoints / tag)
            check_pickles(run.checkpoints / tag)
        except ConfigError as error:
            damages.append(str(error))
            log.warning("checkpoint %s is passed over: %s", tag, error)
        else:
            return tag, manifest
    if damages:
        raise ConfigError(
            f"{run.checkpoints}: no checkpoint is whole: {'; '.join(damages[:3])}"
            f"{' …' if len(damages) > 3 else ''}: mend one, or start over in another --output-dir"
        )
    return None


def find_checkpoint(run: RunDirectory) -> tuple[str, Manifest] | None:
    """`newest_whole` as rank 0 finds it, the same on all ranks.

    Raises:
        ConfigError: as `newest_whole`, on all ranks.
    """
    return from_rank_0(on_rank_0(newest_whole, run))


def load_checkpoint(engine: Any, folder: Path) -> None:
    """Restore model, optimiser and schedule of this rank from a verified folder.

    Raises:
        ConfigError: DeepSpeed finds nothing to load, or another step's state, on any rank.
    """
    error = None
    engine.checkpoint_engine = CheckpointFiles()
    try:
        path, state = engine.load_checkpoint(str(folder.parent), tag=folder.name)
        if path is None:
            error = f"{folder}: DeepSpeed could not load this checkpoint"
        elif tag_of(state["step"]) not in folder.name:
            error = f"{folder}: holds step {state['step']}"
    except (OSError, RuntimeError, AssertionError, KeyError, UnpicklingError) as failure:
        reason = str(failure).strip().splitlines() or [type(failure).__name__]
        error = f"{folder}: DeepSpeed could not load this checkpoint: {reason[0]}"
    error = first_of_any_rank(error)
    if error:
        raise ConfigError(error)
    leave_stopping_to_the_run(engine)  # the loss scaler came out of the checkpoint


def expected_bytes(model: nn.Module) -> int:
    """What the files of a checkpoint will need, all ranks together: the weights twice, and in
    fp32 the optimiser's masters and two moments."""
    values = [*model.parameters(), *model.buffers()]
    weights = sum(size_of(value) * value.element_size() for value in values)
    trained = sum(size_of(p) for p in model.parameters() if p.requires_grad)
    return round(_SPACE_MARGIN * (2 * weights + 12 * trained))


def remove_old(run: RunDirectory, published: int, training: BaseTraining) -> None:
    """All but those to keep, among the steps up to the one just published. A later step can only
    be a damaged one that was passed over; training will replace it. Half-removed folders have no
    checkpoint's name."""
    for left in [path for end in _LEFT_BEHIND for path in run.checkpoints.glob(f".*.{end}")]:
        rmtree(left, ignore_errors=True)
    metrics: dict[int, dict[str, float]] = {}
    for tag in run.tags():
        try:
            metrics[step_of(tag)] = Manifest.read(run.checkpoints / tag).metrics
        except ConfigError:  # damaged: not one to count on, nor to delete unasked
            continue
    metrics = {step: of_step for step, of_step in metrics.items() if step <= published}
    for step in metrics.keys() - kept_steps(metrics, training):
        _remove(run.checkpoints / tag_of(step))


def _remove(folder: Path) -> None:
    doomed = folder.with_name(f".{folder.name}.removing")
    try:
        os.replace(folder, doomed)
    except OSError as error:
        log.warning("%s: could not be removed: %s", folder, error.strerror)
        return
    rmtree(doomed, ignore_errors=True)


def _prepare(partial: Path, needed_bytes: int) -> str | None:
    """An empty folder with room around it, or why not."""
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        if partial.exists():
            rmtree(partial)
        free_bytes = disk_usage(partial.parent).free
        if free_bytes < needed_bytes:
            return (
                f"{partial.parent}: {free_bytes / 2**30:.2f} GiB are free, but a checkpoint needs "
                f"{needed_bytes / 2**30:.2f} GiB"
            )
        partial.mkdir()
    except OSError as error:
        return f"{partial}: {error.strerror}"
    return None


def _write_weights(
    weights: dict[str, Tensor], partial: Path, writer: CheckpointFiles
) -> str | None:
    path = partial / RunDirectory.weights_name
    try:
        save_weights(weights, path)
        writer.note(path)
    except Exception as error:  # safetensors' own error has no better base
        return f"{path}: {error}"
    return None


def _publish(manifest: Manifest, partial: Path, final: Path, pointer: Path) -> str | None:
    unseen = [name for name in manifest.files if not (partial / name).is_file()]
    if unseen:
        return (
            f"{partial / unseen[0]}: another node wrote it on a disk of its own: share the folder"
        )
    try:
        manifest.write(partial)
        flush_to_disk(partial)
        if final.exists():  # a damaged one that was passed over
            _remove(final)
        os.replace(partial, final)
        flush_to_disk(final.parent)
    except OSError as error:
        return f"{final}: {error.strerror}"
    try:
        write_atomically(pointer, f"{final.name}\n")
    except OSError as error:  # the checkpoint is whole without it
        log.warning("%s: could not be written: %s", pointer, error.strerror)
    return None


def _raise_on_all(error: str | None) -> None:
    error = first_of_any_rank(error)
    if error is not None:
        raise CheckpointNotWritten(f"no checkpoint was written: {error}")
