"""How a peak grows with the frames of a clip."""

from collections.abc import Sequence

import numpy as np


def fitted_exponent(frames: Sequence[int], sizes_bytes: Sequence[int]) -> float:
    """p of size = c * frames^p, by least squares of the logarithms: 1 is linear, 2 quadratic.

    Raises:
        ValueError: fewer than two different numbers of frames.
    """
    if len(set(frames)) < 2:
        raise ValueError(f"an exponent needs two numbers of frames, not {sorted(set(frames))}")
    return float(np.polyfit(np.log(frames), np.log(sizes_bytes), 1)[0])
