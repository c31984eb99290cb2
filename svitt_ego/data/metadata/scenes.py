"""Rows by video and time, and where in that order the scenes begin."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.metadata.csr import Csr, map_array, offsets_of

SEGMENT_S = 60.0
"""A scene is a segment: the clips of one video narrated in the same minute (EgoVLP)."""


@dataclass(frozen=True)
class Scenes:
    """Places are positions in the order by video and, within it, by narration time."""

    segments: Csr
    """Its values are the rows of all places, its groups the segments."""
    place: NDArray[np.int32]
    """Of each row."""
    video_offsets: NDArray[np.int64]
    """The first place of each video, and the end."""

    @classmethod
    def of(
        cls, video: NDArray[np.int32], narration_time_s: NDArray[np.float64], videos: int
    ) -> "Scenes":
        order = np.lexsort((narration_time_s, video)).astype(np.int32)
        place = np.empty_like(order)
        place[order] = np.arange(len(order), dtype=np.int32)
        minute = narration_time_s[order] // SEGMENT_S
        of_video = video[order]
        starts = np.flatnonzero((np.diff(minute) != 0) | (np.diff(of_video) != 0)) + 1
        segments = np.concatenate([[0], starts, [len(order)]]).astype(np.int64)
        return cls(Csr(order, segments), place, offsets_of(np.bincount(video, minlength=videos)))

    def save(self, folder: Path) -> None:
        self.segments.save(folder, "segments")
        np.save(folder / "place.npy", self.place)
        np.save(folder / "videos.offsets.npy", self.video_offsets)

    @classmethod
    def open(cls, folder: Path) -> "Scenes":
        """By memory map."""
        return cls(
            Csr.open(folder, "segments"),
            map_array(folder / "place.npy"),
            map_array(folder / "videos.offsets.npy"),
        )
