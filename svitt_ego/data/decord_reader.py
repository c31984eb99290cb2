"""Frames of one mp4 file by decord 0.6.

decord2 installs under the same import name and silently returns wrong frames on long files, so it
is refused. A reader is opened for one call and never kept: an idle one prefetches into memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svitt_ego.config import ConfigError

END_TOLERANCE_S = 0.5
"""Narrated clips may end a little after the file; so much is forgiven by its last frame."""

_ROUNDING_FRAMES = 1e-3
"""A time that is meant to be exactly a frame's start must not fall to the frame before."""


class DecoderError(ConfigError):
    """The installed video decoder cannot be used."""


class VideoError(Exception):
    """Frames that cannot be read."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path = path
        self.cause = cause
        """Short and countable: `missing`, `corrupt`, `no video stream`, `past the end` …"""

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.cause)


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
        raise DecoderError(f"decord cannot be imported ({error}); {mend}") from None
    decord.logging.set_level(decord.logging.QUIET)  # a corrupt file floods stderr otherwise
    return decord


def read_frames(path: Path, times_s: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The frames shown at `times_s`, seconds from the file's start, at its constant frame rate.

    A time up to `END_TOLERANCE_S` past the end gives the last frame.

    Returns:
        (len(times_s), H, W, 3) RGB.

    Raises:
        VideoError: anything but exactly these frames.
    """
    with _own_errors(path):
        reader, fps = _open(path)
        count = len(reader)
        wanted = np.floor(times_s * fps + _ROUNDING_FRAMES).astype(np.int64)
        if wanted.max() >= count + END_TOLERANCE_S * fps:
            raise VideoError(path, "past the end")
        unique, back = np.unique(wanted.clip(0, count - 1), return_inverse=True)
        frames = reader.get_batch(unique.tolist()).asnumpy()
    assert frames.shape[0] == len(unique) and frames.shape[-1] == 3
    return frames[back]


def duration_s(path: Path) -> float:
    """Seconds from the first frame's start to the last one's end.

    Raises:
        VideoError: not a readable video.
    """
    with _own_errors(path):
        reader, fps = _open(path)
        return len(reader) / fps


def _open(path: Path) -> tuple[Any, float]:
    """A decord reader with at least one frame, and its frame rate."""
    decord = load_decord()
    if not path.is_file():
        raise VideoError(path, "missing")
    if path.stat().st_size == 0:
        raise VideoError(path, "empty")
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    fps = float(reader.get_avg_fps())
    if len(reader) == 0 or not fps > 0:
        raise VideoError(path, "no frames")
    return reader, fps


@contextmanager
def _own_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, IndexError, load_decord().DECORDError) as error:
        no_stream = "cannot find video stream" in str(error)
        raise VideoError(path, "no video stream" if no_stream else "corrupt") from None
