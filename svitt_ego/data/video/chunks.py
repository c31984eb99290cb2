"""Where a video's files are."""

import math
from pathlib import Path

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.video.frame_numbers import END_TOLERANCE_S

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
