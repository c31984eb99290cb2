"""A long stretch of a video: minutes rather than seconds."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class LongClip:
    """Times in seconds of the source video; the uid names a file."""

    clip_uid: str
    video_uid: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        for uid in (self.clip_uid, self.video_uid):
            if not re.fullmatch(r"[\w-][\w.-]*", uid):
                raise ValueError(f"uid {uid!r}: must be letters, digits, '-', '_' and '.'")
        if not 0 <= self.start_s < self.end_s < float("inf"):
            raise ValueError(f"clip {self.clip_uid}: {self.start_s} to {self.end_s} s is no time")

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s
