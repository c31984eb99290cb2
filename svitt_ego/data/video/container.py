"""An open video file and its pictures' stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error

from svitt_ego.data.video.errors import VideoError


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream, decoded on one thread: readers work side by side.

    Raises:
        VideoError: no video, or what is found wrong with it while it is open.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise VideoError(path, "no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:  # the file names no codec that there is
                raise VideoError(path, "corrupt")
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, IndexError, OverflowError):
        raise VideoError(path, "corrupt") from None
