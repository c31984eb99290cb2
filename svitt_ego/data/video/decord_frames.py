"""Frames of one file by decord 0.6.

decord2 installs under the same import name and silently returns wrong frames on long files, so it
is refused. A reader is opened for one call and never kept: an idle one prefetches into memory.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.video.errors import DecoderError, VideoError
from svitt_ego.data.video.frame_numbers import FileFacts, check_fps, frame_numbers

_STDERR = 2


@cache
def load_decord() -> ModuleType:
    """decord, imported and silenced.

    Raises:
        DecoderError: decord2 is installed, or decord is not; says which commands mend it.
    """
    mend = "pip uninstall -y decord decord2 && pip install decord==0.6.0"
    try:
        decord2 = version("decord2")
    except PackageNotFoundError:
        pass
    else:
        raise DecoderError(
            f"decord2 {decord2} is installed: it returns wrong frames on long files; {mend}"
        )
    try:
        import decord
    except ImportError as error:
        raise DecoderError(
            f"decord cannot be imported ({error}); {mend}, or set data.videos.decoder=pyav"
        ) from None
    decord.logging.set_level(decord.logging.QUIET)  # a corrupt file floods stderr otherwise
    return decord


def read_frames(
    path: Path, times_s: NDArray[np.float64], expected_fps: float | None
) -> NDArray[np.uint8]:
    """See `svitt_ego.data.video.frames.read_frames`."""
    with _own_errors(path):
        reader, facts = _open(path)
        check_fps(path, facts, expected_fps)
        wanted = frame_numbers(path, facts, times_s)
        unique, back = np.unique(wanted, return_inverse=True)
        _check_constant_rate(path, reader, facts, unique)
        with _quiet_stderr():
            frames = reader.get_batch(unique.tolist()).asnumpy()
    if len(frames) != len(unique):
        raise VideoError(path, "truncated")
    return frames[back]


def read_facts(path: Path) -> FileFacts:
    """
    Raises:
        VideoError: not a readable video.
    """
    with _own_errors(path):
        return _open(path)[1]


def _open(path: Path) -> tuple[Any, FileFacts]:
    decord = load_decord()
    with _quiet_stderr():
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        return reader, FileFacts(len(reader), float(reader.get_avg_fps()))


def _check_constant_rate(
    path: Path, reader: Any, facts: FileFacts, frames: NDArray[np.int64]
) -> None:
    """
    Raises:
        VideoError: one of `frames` is not shown when a constant rate would show it.
    """
    starts_s = reader.get_frame_timestamp(frames.tolist())[:, 0]
    first_s = float(reader.get_frame_timestamp(0)[0])
    if (np.abs((starts_s - first_s) * facts.fps - frames) > 0.5).any():
        raise VideoError(path, "variable frame rate")


@contextmanager
def _own_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, IndexError, load_decord().DECORDError) as error:
        no_stream = "cannot find video stream" in str(error)
        raise VideoError(path, "no video stream" if no_stream else "corrupt") from None


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """decord writes a line for every bad file past its own log level; faults are counted and named
    by the run."""
    saved, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
        os.close(nowhere)
