"""Scene-aware negatives (EgoVLP, section 3.2): another action in the same scene, close in time.

A scene is a segment: the clips of one video narrated in the same minute.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from svitt_ego.data.metadata import ClipTable, MetadataError

SEGMENT_S = 60.0


@dataclass(frozen=True)
class Negative:
    """A row to contrast with the anchor, and where it was found."""

    row: int
    source: Literal["segment", "video", "random"]
    """`random`: the anchor's video has no other action, any clip had to do."""


class SceneNegatives:
    """Draws scene-aware negatives through an index of rows by video and narration time.

    Memory: 16 bytes a row. A draw looks only at the anchor's neighbours in time.
    """

    def __init__(self, table: ClipTable, neighbours: int = 5) -> None:
        """
        Args:
            neighbours: the draw is among so many nearest negatives of the segment.

        Raises:
            MetadataError: a single clip has no negative.
        """
        if len(table) < 2:
            raise MetadataError(f"{table.path}: scene-aware negatives need at least two clips")
        self._table = table
        self._neighbours = neighbours
        self._order = np.lexsort((table.narration_time_s, table.video))
        self._place = np.empty_like(self._order)
        self._place[self._order] = np.arange(len(table))
        clips_per_video = np.bincount(table.video, minlength=len(table.video_uids))
        self._video_offsets = np.concatenate([[0], np.cumsum(clips_per_video)])

    def draw(self, row: int, rng: np.random.Generator) -> Negative:
        """A negative of `row`, never `row` itself.

        One of the `neighbours` nearest clips of the segment that neither overlap `row` nor share
        both a verb and a noun with it. Without such a clip, the nearest one of the whole video;
        without that, any clip of another video (any other clip where there is only one video).
        Near is the difference of narration times.
        """
        place = int(self._place[row])
        video = self._table.video[row]
        video_start, video_end = (int(o) for o in self._video_offsets[video : video + 2])
        is_negative = self._test_against(row)

        segment = self._segment(place, video_start, video_end)
        near = list(islice(filter(is_negative, self._outwards(place, *segment)), self._neighbours))
        if near:
            return Negative(near[rng.integers(len(near))], "segment")
        nearest = next(filter(is_negative, self._outwards(place, video_start, video_end)), None)
        if nearest is not None:
            return Negative(nearest, "video")
        return Negative(self._row_outside(place, video_start, video_end, rng), "random")

    def _segment(self, place: int, video_start: int, video_end: int) -> tuple[int, int]:
        """Places of the clips narrated in the same minute of the same video."""
        minute = self._minute(place)
        places = range(video_start, video_end)
        return (
            video_start + bisect_left(places, minute, key=self._minute),
            video_start + bisect_right(places, minute, key=self._minute),
        )

    def _minute(self, place: int) -> float:
        return self._table.narration_time_s[self._order[place]] // SEGMENT_S

    def _outwards(self, place: int, start: int, end: int) -> Iterator[int]:
        """Rows at places [start, end) but `place`, by rising distance in narration time."""
        times, order = self._table.narration_time_s, self._order
        time_s = times[order[place]]
        left, right = place - 1, place + 1
        while left >= start or right < end:
            take_left = right >= end or (
                left >= start and time_s - times[order[left]] <= times[order[right]] - time_s
            )
            if take_left:
                yield int(order[left])
                left -= 1
            else:
                yield int(order[right])
                right += 1

    def _test_against(self, row: int) -> Callable[[int], bool]:
        table = self._table
        start_s, end_s = table.start_s[row], table.end_s[row]
        verbs, nouns = set(table.verbs[row].tolist()), set(table.nouns[row].tolist())

        def is_negative(other: int) -> bool:
            if table.start_s[other] < end_s and start_s < table.end_s[other]:
                return False
            same_action = not verbs.isdisjoint(table.verbs[other].tolist()) and not (
                nouns.isdisjoint(table.nouns[other].tolist())
            )
            return not same_action

        return is_negative

    def _row_outside(
        self, place: int, video_start: int, video_end: int, rng: np.random.Generator
    ) -> int:
        rows = len(self._order)
        if video_end - video_start == rows:  # a single video: leave out the anchor alone
            video_start, video_end = place, place + 1
        drawn = int(rng.integers(rows - (video_end - video_start)))
        return int(self._order[drawn if drawn < video_start else drawn + video_end - video_start])
