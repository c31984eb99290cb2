"""Which moments of a clip become its frames."""

import numpy as np
from numpy.typing import NDArray


def frame_times(
    start_s: float, end_s: float, frames: int, rng: np.random.Generator | None
) -> NDArray[np.float64]:
    """One time in each of `frames` equal intervals of [start_s, end_s), rising.

    The frame shown at that time is taken, so a random time is a random frame of the interval.

    Args:
        rng: draws a uniform time in each interval (training); None takes the middles (evaluation).

    Returns:
        (frames,) seconds in the source video.
    """
    assert frames > 0 and end_s > start_s
    within = np.full(frames, 0.5) if rng is None else rng.random(frames)
    return start_s + (np.arange(frames) + within) / frames * (end_s - start_s)
