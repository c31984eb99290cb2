"""What DeepSpeed's shards may hold. They are pickles, and a pickle can run any code when loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

from svitt_ego.config import ConfigError

HARMLESS = (ZeroStageEnum, fragment_address, LossScaler, DynamicLossScaler)
"""Beside tensors and plain Python values: what DeepSpeed 0.19 keeps in a shard."""

_NAMES = {f"{kind.__module__}.{kind.__qualname__}" for kind in HARMLESS}


def check_pickles(folder: Path) -> None:
    """Look at what a checkpoint's pickles name, without loading them.

    Raises:
        ConfigError: one names something else, which could run code, or is no pickle of torch's.
    """
    for path in sorted(folder.glob("*.pt")):
        try:
            named = set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - _NAMES
        except Exception as error:  # whatever the bytes of a file can lead to
            raise ConfigError(f"{path}: not a file of torch.save ({error})") from None
        if named:
            raise ConfigError(
                f"{path}: refused: it names {', '.join(sorted(named))}, which is no part of a "
                "checkpoint and could run code"
            )


@contextmanager
def harmless_only() -> Iterator[None]:
    """`torch.load(..., weights_only=True)` takes what is `HARMLESS`, and nothing else."""
    with torch.serialization.safe_globals(list(HARMLESS)):
        yield
