"""Parts of a loop that do the same: a plan computes them once, and counts what it stands for.

Of loops over fake tensors only shapes matter, so that parts of equal size need equal memory and
equal work, and computing all of them would take most of a plan's time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any
from unittest.mock import patch

from svitt_ego.models.attention import tiled

_times: ContextVar[int] = ContextVar("times", default=1)


def times() -> int:
    """How many parts the one that is being computed stands for: 1 outside of loops."""
    return _times.get()


@contextmanager
def same_work_once() -> Iterator[None]:
    """Inside, tiled attention computes only what differs in memory."""
    with (
        patch.object(tiled, "product", _unlike_pairs),
        patch.object(tiled, "zip", _first_pair, create=True),
    ):
        yield


def _unlike_pairs(outer: Sequence[slice], inner: Sequence[slice]) -> Iterator[tuple[slice, slice]]:
    """For the chunks of tiled attention."""
    for many, a in _unlike(outer):
        for each, b in _unlike(inner):
            token = _times.set(many * each)
            try:
                yield a, b
            finally:
                _times.reset(token)


def _unlike(parts: Sequence[slice]) -> Iterator[tuple[int, slice]]:
    """Parts, equal ones next to each other, and for how many each stands: of each size the first,
    and the second for all others, because it starts while what the first used is still held."""
    sizes = [part.stop - part.start for part in parts]
    for size in dict.fromkeys(sizes):
        first, count = sizes.index(size), sizes.count(size)
        yield 1, parts[first]
        if count > 1:
            yield count - 1, parts[first + 1]


def _first_pair(*sequences: Any, strict: bool = False) -> Iterator[tuple[Any, ...]]:
    """For the bias' gradient, which is added sample by sample, in place: a sample leaves no memory
    and has no matrix product to count."""
    return islice(zip(*sequences, strict=strict), 1)
