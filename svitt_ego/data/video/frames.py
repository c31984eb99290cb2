"""The frames of one file, by the decoder that the recipe names."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svitt_ego.config.schema import DecoderName
from svitt_ego.data.video import decord_frames, pyav_frames
from svitt_ego.data.video.errors import VideoError, check_there
from svitt_ego.data.video.frame_numbers import FileFacts


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
