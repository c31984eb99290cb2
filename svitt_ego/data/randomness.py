"""Random draws of the data path: each is a pure function of what it is for."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What is drawn. Starts at 1: numpy does not tell (…, 0) from (…)."""

    EPOCH_ORDER = 1
    CLIP = 2
    """Frames and crop of a clip."""
    REPLACEMENT = 3
    """The row in place of an unreadable one."""
    NEGATIVE = 4
    """The scene-aware negative of a row."""
    POSITIVE = 5
    """The action-aware positive of a row."""


def generator(stream: Stream, seed: int, *indices: int) -> np.random.Generator:
    return np.random.default_rng((stream, seed, *indices))
