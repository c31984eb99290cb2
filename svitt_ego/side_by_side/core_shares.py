"""Commands side by side on a CPU, each on cores of its own, so that none slows the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import torch

_MOST_AT_ONCE = 4
"""A training needs some 2 GiB: bounds the memory of a machine of many cores."""


class CoreShares:
    """The cores that this process may use, dealt out evenly.

    Args:
        count: of shares; None: one for each core, at most four, and a single one where there is a
            GPU, which runs would have to share.
    """

    def __init__(self, count: int | None = None) -> None:
        cores = sorted(os.sched_getaffinity(0))
        usual = 1 if torch.cuda.is_available() else min(len(cores), _MOST_AT_ONCE)
        self.count = min(count or usual, len(cores))
        self._free: SimpleQueue[tuple[int, ...]] = SimpleQueue()
        for place in range(self.count):
            self._free.put(tuple(cores[place :: self.count]))

    @contextmanager
    def one(self) -> Iterator[tuple[int, ...]]:
        """The cores of a share, waited for until one is free."""
        cores = self._free.get()
        try:
            yield cores
        finally:
            self._free.put(cores)
