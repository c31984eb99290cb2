"""Running out of memory, told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from svitt_ego.config import ConfigError


@contextmanager
def one_line_out_of_memory(what: str, mend: str) -> Iterator[None]:
    """
    Args:
        what: was being done.
        mend: what the user can change.

    Raises:
        ConfigError: a GPU's or the host's memory ran out inside.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        # on a CPU PyTorch raises a plain RuntimeError
        of_pytorch = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        if of_pytorch or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            raise ConfigError(f"{what}: out of memory: {mend}") from error
        raise
