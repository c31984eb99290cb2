"""Seconds of a clip and steps of its features."""

import math
from dataclasses import dataclass

from torch import Tensor

_ROUNDING_FRAMES = 1e-3


@dataclass(frozen=True)
class TimeGrid:
    """Feature i sees the frames [i * stride, i * stride + window). Step i is the middle of them,
    so that what labels call step i and what predictions call step i are the same moment.
    (GroundNLQ leaves the half window out of its labels, but not out of its predictions.)"""

    window_frames: float
    stride_frames: float
    fps: float

    def to_steps(self, seconds: Tensor) -> Tensor:
        return (seconds * self.fps - self.window_frames / 2) / self.stride_frames

    def to_seconds(self, steps: Tensor) -> Tensor:
        return (steps * self.stride_frames + self.window_frames / 2) / self.fps

    def windows_in(self, duration_s: float) -> int:
        """Windows that lie within a clip; one, if it is shorter than a window."""
        frames = math.floor(duration_s * self.fps + _ROUNDING_FRAMES)
        return 1 + int(max(0, frames - self.window_frames) // self.stride_frames)
