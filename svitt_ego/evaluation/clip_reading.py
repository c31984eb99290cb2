"""Reading clips for evaluation: the middle frames of equal intervals, not cropped."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from svitt_ego.config import Recipe
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.batch import Fault
from svitt_ego.data.frame_sampling import frame_times
from svitt_ego.data.loader import limit_worker_threads
from svitt_ego.data.transforms import resize_clip
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.errors import VideoError
from svitt_ego.evaluation.video_clip import VideoClip

FrameOrder = Literal["as_filmed", "shuffled", "still"]
"""shuffled: in another order than filmed; still: the middle frame alone, repeated. How much worse
a model does then says how much it looks at motion."""


@dataclass(frozen=True)
class ClipReading:
    """How clips are read."""

    files: VideoFiles
    frames: int
    image_size: int
    """Height and width, pixels."""
    batch_size: int
    workers: int
    """Loader processes."""
    order: FrameOrder = "as_filmed"


def reading_of(recipe: Recipe, order: FrameOrder = "as_filmed") -> ClipReading:
    return ClipReading(
        files=recipe.data.videos,
        frames=recipe.data.frames,
        image_size=recipe.model.video.image_size,
        batch_size=recipe.evaluation.micro_batch_size,
        workers=recipe.data.workers,
        order=order,
    )


@dataclass(frozen=True)
class ReadBatch:
    """indices: of the clips that could be read, whose frames are video (B, T, 3, H, W) uint8, None
    where there is none; faults: of the others."""

    indices: list[int]
    video: Tensor | None
    faults: dict[int, Fault]


def read_batches(
    clips: Sequence[VideoClip], wanted: Sequence[int], reading: ClipReading
) -> DataLoader[ReadBatch]:
    """Batches of the clips of indices `wanted`, in that order."""
    return DataLoader(
        _EvaluationClips(clips, wanted, reading),
        batch_size=reading.batch_size,
        collate_fn=_keep_readable,
        num_workers=reading.workers,
        worker_init_fn=limit_worker_threads,
        generator=torch.Generator(),  # not the global one, whose state belongs to the model
    )


def read_evaluation_clip(clip: VideoClip, reading: ClipReading) -> Tensor:
    """(T, 3, image_size, image_size) uint8.

    Raises:
        VideoError: a frame cannot be read.
    """
    times_s = frame_times(clip.start_s, clip.end_s, reading.frames, rng=None)
    video = read_clip(reading.files, clip.video_uid, times_s)[_places(clip, reading)]
    return resize_clip(video, reading.image_size)


def _places(clip: VideoClip, reading: ClipReading) -> NDArray[np.int64]:
    """Which frame is shown when: (T,). A shuffle is drawn anew for each clip, but always the same
    one for the same clip, and never leaves all frames where they were."""
    filmed = np.arange(reading.frames)
    if reading.order == "as_filmed" or reading.frames == 1:
        return filmed
    if reading.order == "still":
        return np.full_like(filmed, reading.frames // 2)
    rng = np.random.default_rng(zlib.crc32(repr(clip).encode()))
    while (shuffled := rng.permutation(filmed)).tolist() == filmed.tolist():
        pass
    return shuffled


@dataclass(frozen=True)
class _ReadClip:
    index: int
    video: Tensor | None
    fault: Fault | None


class _EvaluationClips(Dataset[_ReadClip]):
    def __init__(
        self, clips: Sequence[VideoClip], wanted: Sequence[int], reading: ClipReading
    ) -> None:
        self._clips = clips
        self._wanted = wanted
        self._reading = reading

    def __len__(self) -> int:
        return len(self._wanted)

    def __getitem__(self, place: int) -> _ReadClip:
        index = self._wanted[place]
        try:
            video = read_evaluation_clip(self._clips[index], self._reading)
        except VideoError as error:
            return _ReadClip(index, None, Fault(str(error.path), error.cause))
        return _ReadClip(index, video, None)


def _keep_readable(clips: Sequence[_ReadClip]) -> ReadBatch:
    readable = [clip for clip in clips if clip.video is not None]
    return ReadBatch(
        indices=[clip.index for clip in readable],
        video=torch.stack([clip.video for clip in readable]) if readable else None,
        faults={clip.index: clip.fault for clip in clips if clip.fault is not None},
    )
