"""Where a video's chunks are, and the frames of a clip across them."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.decord_reader import END_TOLERANCE_S, VideoError, read_frames

_ROUNDING_S = 1e-6


def chunk_path(files: VideoFiles, video_uid: str, chunk: int) -> Path:
    """The file of chunk `chunk`, which covers [chunk, chunk + 1) * files.chunk_s."""
    root = Path(files.root)
    if files.layout == "whole":
        return root / f"{video_uid}.mp4"
    if files.layout == "start_second":
        return root / f"{video_uid}.mp4" / f"{round(chunk * files.chunk_s)}.mp4"
    return root / video_uid / f"{chunk}.mp4"


def locate(files: VideoFiles, video_uid: str, time_s: float) -> tuple[int, float]:
    """The chunk shown at `time_s` of the video, and the time within it, in seconds.

    A time just after the last chunk belongs to that chunk's end where the video is as long as a
    whole number of chunks: the next chunk then has no file.
    """
    if files.layout == "whole":
        return 0, time_s
    chunk = math.floor((time_s + _ROUNDING_S) / files.chunk_s)
    within_s = max(0.0, time_s - chunk * files.chunk_s)
    is_after_last = (
        chunk > 0
        and within_s < END_TOLERANCE_S
        and not chunk_path(files, video_uid, chunk).exists()
    )
    return (chunk - 1, files.chunk_s + within_s) if is_after_last else (chunk, within_s)


def read_clip(files: VideoFiles, video_uid: str, times_s: NDArray[np.float64]) -> Tensor:
    """The frames shown at `times_s`, rising seconds in the source video; may cross chunk borders.

    Returns:
        (T, 3, H, W) uint8 RGB, at the size they are stored; memory order THWC.

    Raises:
        VideoError: a frame cannot be read; never returns other frames than asked for.
    """
    located = [locate(files, video_uid, float(time_s)) for time_s in times_s]
    pieces = []
    for chunk in sorted({chunk for chunk, _ in located}):
        within_s = np.array([time_s for place, time_s in located if place == chunk])
        path = chunk_path(files, video_uid, chunk)
        pieces.append(read_frames(path, within_s))
        if pieces[-1].shape[1:] != pieces[0].shape[1:]:
            raise VideoError(path, "frame size differs from the chunk before")
    return torch.from_numpy(np.concatenate(pieces)).permute(0, 3, 1, 2)
