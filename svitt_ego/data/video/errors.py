"""What can be wrong with videos and decoders."""

import os
from pathlib import Path

from svitt_ego.config import ConfigError


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


def check_there(path: Path) -> None:
    """
    Raises:
        VideoError: no file, an empty one, or one that may not be read.
    """
    if not path.is_file():
        raise VideoError(path, "missing")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "no permission")
    if path.stat().st_size == 0:
        raise VideoError(path, "empty")
