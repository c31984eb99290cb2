"""A stretch of a video: what the evaluations read, embed and compare."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoClip:
    """Times in seconds of the source video."""

    video_uid: str
    start_s: float
    end_s: float
