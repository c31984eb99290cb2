"""The frames of a clip: across chunk borders, by the decoder that the recipe names."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svitt_ego.config.schema import DecoderName, VideoFiles
from svitt_ego.data.video import decord_frames, pyav_frames
from svitt_ego.data.video.chunks import chunk_path, locate
from svitt_ego.data.video.errors import VideoError, check_there
from svitt_ego.data.video.frame_numbers import FileFacts


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


def read_frames(
    path: Path,
    times_s: NDArray[np.float64],
    decoder: DecoderName = "auto",
    expected_fps: float | None = None,
) -> NDArray[np.uint8]:
    """The frames shown at `times_s`, seconds from the file's start, at its constant frame rate.

    A time up to `END_TOLERANCE_S` past the end gives the last frame. No reader stays open.

    Args:
        decoder: see `VideoFiles.decoder`.
        expected_fps: another frame rate is an error; None: any will do.

    Returns:
        (len(times_s), H, W, 3) RGB.

    Raises:
        VideoError: anything but exactly these frames.
    """
    check_there(path)
    if decoder != "decord":
        try:
            return pyav_frames.read_frames(path, times_s, expected_fps)
        except pyav_frames.NoSampleTable:
            if decoder == "pyav":
                raise VideoError(path, "no sample table") from None
    return decord_frames.read_frames(path, times_s, expected_fps)


def read_facts(path: Path, decoder: DecoderName = "auto") -> FileFacts:
    """Frames and frame rate, from the container where the decoder reads them there.

    Raises:
        VideoError: not a readable video.
    """
    check_there(path)
    if decoder != "decord":
        try:
            return pyav_frames.read_facts(path)
        except pyav_frames.NoSampleTable:
            if decoder == "pyav":
                raise VideoError(path, "no sample table") from None
    return decord_frames.read_facts(path)
