"""A long clip as a row of windows, and reading their frames.

A run of neighbouring windows is read at once, each frame decoded and resized once: windows that
overlap share frames, and opening a file per window would decode every group of pictures anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from svitt_ego.data.batch import Fault
from svitt_ego.data.frame_sampling import frame_times
from svitt_ego.data.loader import limit_worker_threads
from svitt_ego.data.long_clip import LongClip
from svitt_ego.data.transforms import resize_clip
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.errors import VideoError
from svitt_ego.evaluation.clip_reading import ClipReading
from svitt_ego.grounding.time_grid import TimeGrid


@dataclass(frozen=True)
class Windowing:
    """Window i of a clip covers the frames [i * stride, i * stride + window) at `fps`."""

    window_frames: int
    stride_frames: int
    fps: float

    def count(self, duration_s: float) -> int:
        """See `TimeGrid.windows_in`."""
        grid = TimeGrid(self.window_frames, self.stride_frames, self.fps)
        return grid.windows_in(duration_s)

    def span_s(self, window: int, duration_s: float) -> tuple[float, float]:
        """Start and end from the clip's start, seconds."""
        start_s = window * self.stride_frames / self.fps
        return start_s, min(start_s + self.window_frames / self.fps, duration_s)


@dataclass(frozen=True)
class Stretch:
    """The windows [first, last) of a clip: video (windows, T, 3, H, W) uint8, or the fault."""

    clip: int
    first: int
    last: int
    video: Tensor | None
    fault: Fault | None


def read_stretches(
    clips: Sequence[LongClip], wanted: Sequence[int], windowing: Windowing, reading: ClipReading
) -> DataLoader[Stretch]:
    """All windows of the clips of indices `wanted`, clip by clip and in order, at most
    `reading.batch_size` at a time."""
    return DataLoader(
        _Stretches(clips, wanted, windowing, reading),
        batch_size=None,
        num_workers=reading.workers,
        worker_init_fn=limit_worker_threads,
        generator=torch.Generator(),
    )


def read_windows(
    clip: LongClip, windows: range, windowing: Windowing, reading: ClipReading
) -> Tensor:
    """(windows, T, 3, image_size, image_size) uint8: of each window the middle frames of T equal
    intervals.

    Raises:
        VideoError: a frame cannot be read.
    """
    spans = [windowing.span_s(window, clip.duration_s) for window in windows]
    times_s = np.stack(
        [
            clip.start_s + frame_times(start_s, end_s, reading.frames, rng=None)
            for start_s, end_s in spans
        ]
    )
    unique_s, place = np.unique(np.round(times_s, 6), return_inverse=True)
    frames = read_clip(reading.files, clip.video_uid, unique_s)
    return resize_clip(frames, reading.image_size)[place.reshape(times_s.shape)]


class _Stretches(Dataset[Stretch]):
    def __init__(
        self,
        clips: Sequence[LongClip],
        wanted: Sequence[int],
        windowing: Windowing,
        reading: ClipReading,
    ) -> None:
        self._clips = clips
        self._windowing = windowing
        self._reading = reading
        self._places = [
            (clip, first, min(first + reading.batch_size, windows))
            for clip in wanted
            for windows in (windowing.count(clips[clip].duration_s),)
            for first in range(0, windows, reading.batch_size)
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Stretch:
        clip, first, last = self._places[index]
        try:
            windows = range(first, last)
            video = read_windows(self._clips[clip], windows, self._windowing, self._reading)
        except VideoError as error:
            return Stretch(clip, first, last, None, Fault(str(error.path), error.cause))
        return Stretch(clip, first, last, video, None)
