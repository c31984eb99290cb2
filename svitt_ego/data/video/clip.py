"""The frames of a clip, across chunk borders."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.video.chunks import chunk_path, locate
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frames import read_frames


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
        pieces.append(read_frames(path, within_s, files.decoder, files.fps))
        if pieces[-1].shape[1:] != pieces[0].shape[1:]:
            raise VideoError(path, "frame size differs from the chunk before")
    return torch.from_numpy(np.concatenate(pieces)).permute(0, 3, 1, 2)
