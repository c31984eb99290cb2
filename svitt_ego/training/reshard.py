"""A checkpoint of one number of ranks, for another: DeepSpeed's universal format.

A ZeRO shard fits only the number of ranks that it was cut for. DeepSpeed's conversion joins the
shards parameter by parameter; loading cuts them anew.
"""

import argparse
import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import torch.distributed as dist
from deepspeed.checkpoint import ds_to_universal

from svitt_ego.config import ConfigError
from svitt_ego.training.deepspeed_config import (
    offloads_optimizer,
    precision_of,
    zero_stage_of,
)
from svitt_ego.training.manifest import Manifest

CONVERTIBLE_STAGES = (1, 2)


def needs_resharding(
    manifest: Manifest, world_size: int, config: dict[str, Any], folder: Path
) -> bool:
    """Whether a checkpoint must be converted for a launch of so many ranks with this DeepSpeed
    config. Shards differ by ranks and stage, and, in bf16 at stage 1, by offload.

    Raises:
        ConfigError: it cannot be used at this stage or precision.
    """
    stage, precision = zero_stage_of(config), precision_of(config)
    if manifest.precision != precision:
        raise ConfigError(
            f"{folder}: precision = {precision} was {manifest.precision} when it was written; "
            "resume with the same"
        )
    cut = (manifest.world_size, manifest.zero_stage, manifest.offloads_optimizer)
    if cut == (world_size, stage, offloads_optimizer(config)):
        return False
    if manifest.zero_stage == stage == 0:  # nothing is sharded
        return False
    stages = {manifest.zero_stage, stage}
    if not stages <= set(CONVERTIBLE_STAGES):
        raise ConfigError(
            f"{folder}: ZeRO stage {manifest.zero_stage} on {manifest.world_size} ranks cannot "
            f"become stage {stage} on {world_size}: stages 1 and 2 go over into each other "
            "and to any number of ranks; resume others as they were"
        )
    return True


def universal_folder(folder: Path) -> Path:
    """Where the converted checkpoint is for as long as it is needed."""
    return folder.with_name(f".{folder.name}.universal")


def convert(folder: Path) -> None:
    """Write `universal_folder(folder)`; one process does it, on the CPU.

    Raises:
        ConfigError: the disk is full, or DeepSpeed cannot convert it.
    """
    target = universal_folder(folder)
    shutil.rmtree(target, ignore_errors=True)
    said = io.StringIO()
    arguments = argparse.Namespace(
        input_folder=str(folder),
        output_folder=str(target),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=False,
    )
    try:
        target.mkdir()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            ds_to_universal.main(arguments)
    except (OSError, RuntimeError, ValueError, AssertionError, KeyError) as error:
        shutil.rmtree(target, ignore_errors=True)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{folder}: cannot be converted to other ranks: {reason}") from None


def remove_universal(folder: Path) -> None:
    """After all ranks have loaded it."""
    dist.barrier()
    if dist.get_rank() == 0:
        shutil.rmtree(universal_folder(folder), ignore_errors=True)
        folder.with_name("latest_universal").unlink(missing_ok=True)
