"""Which frame is shown at a time, in a file of constant frame rate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.video.errors import VideoError

END_TOLERANCE_S = 0.5
"""Narrated clips may end a little after the file; so much is forgiven by its last frame."""

_ROUNDING_FRAMES = 1e-3
"""A time that is meant to be exactly a frame's start must not fall to the frame before."""
_FPS_TOLERANCE = 1e-3
"""Relative: 30 and 30000/1001 are not told apart."""


@dataclass(frozen=True)
class FileFacts:
    """What a container says of its video."""

    frames: int
    fps: float

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last one's end."""
        return self.frames / self.fps


def check_fps(path: Path, facts: FileFacts, expected_fps: float | None) -> None:
    """
    Raises:
        VideoError: no frames, or not the frame rate that the recipe expects.
    """
    if facts.frames == 0 or not facts.fps > 0:
        raise VideoError(path, "no frames")
    if expected_fps is not None and abs(facts.fps - expected_fps) > _FPS_TOLERANCE * expected_fps:
        raise VideoError(path, "wrong frame rate")


def frame_numbers(path: Path, facts: FileFacts, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frames shown at `times_s`, seconds from the file's start.

    Raises:
        VideoError: a time is more than `END_TOLERANCE_S` past the end.
    """
    wanted = np.floor(times_s * facts.fps + _ROUNDING_FRAMES).astype(np.int64)
    if wanted.max() >= facts.frames + END_TOLERANCE_S * facts.fps:
        raise VideoError(path, "past the end")
    return wanted.clip(0, facts.frames - 1)
