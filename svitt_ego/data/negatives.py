"""Scene-aware negatives (EgoVLP, section 3.2): another action in the same scene, close in time.

A scene is a segment: the clips of one video narrated in the same minute.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.metadata import ClipTable, MetadataError


@dataclass(frozen=True)
class Negative:
    """A row to contrast with the anchor, and where it was found."""

    row: int
    source: Literal["segment", "video", "random"]
    """`random`: the anchor's video has no other action, any clip had to do."""


class SceneNegatives:
    """Draws scene-aware negatives. A draw looks only at the anchor's neighbours in time."""

    def __init__(
        self, table: ClipTable, neighbours: int = 5, left_out: NDArray[np.bool_] | None = None
    ) -> None:
        """
        Args:
            neighbours: the draw is among so many nearest negatives of the segment.
            left_out: (rows,), those that are negatives only where nothing else is left.

        Raises:
            MetadataError: a single clip has no negative.
        """
        if len(table) < 2:
            raise MetadataError(f"{table.path}: scene-aware negatives need at least two clips")
        self._table = table
        self._neighbours = neighbours
        self._left_out = left_out

    def draw(self, row: int, rng: np.random.Generator) -> Negative:
        """A negative of `row`, never `row` itself.

        One of the `neighbours` nearest clips of the segment that neither overlap `row` nor share
        both a verb and a noun with it. Without such a clip (about 6 % of EgoClip's segments have
        a single one), the nearest one of the whole video; without that, any clip of another video
        (any other clip where there is only one video). Near is the difference of narration times.
        """
        scenes = self._table.scenes
        place, video = int(scenes.place[row]), int(self._table.video[row])
        is_negative = self._test_against(row)

        segments = scenes.segments.offsets
        segment = int(segments.searchsorted(place, side="right")) - 1
        outwards = self._outwards(place, int(segments[segment]), int(segments[segment + 1]))
        near = list(islice(filter(is_negative, outwards), self._neighbours))
        if near:
            return Negative(near[rng.integers(len(near))], "segment")
        start, end = (int(offset) for offset in scenes.video_offsets[video : video + 2])
        nearest = next(filter(is_negative, self._outwards(place, start, end)), None)
        if nearest is not None:
            return Negative(nearest, "video")
        return Negative(self._row_outside(place, start, end, rng), "random")

    def _outwards(self, place: int, start: int, end: int) -> Iterator[int]:
        """Rows at places [start, end) but `place`, by rising distance in narration time."""
        times, order = self._table.narration_time_s, self._table.scenes.segments.values
        time_s = float(times[order[place]])

        def distance(at: int) -> float:
            return abs(float(times[order[at]]) - time_s) if start <= at < end else np.inf

        left, right = place - 1, place + 1
        left_s, right_s = distance(left), distance(right)
        while left >= start or right < end:
            if left_s <= right_s:
                yield int(order[left])
                left -= 1
                left_s = distance(left)
            else:
                yield int(order[right])
                right += 1
                right_s = distance(right)

    def _test_against(self, row: int) -> Callable[[int], bool]:
        table, left_out = self._table, self._left_out
        start_s, end_s = float(table.start_s[row]), float(table.end_s[row])
        verbs, nouns = set(table.verbs[row].tolist()), set(table.nouns[row].tolist())

        def is_negative(other: int) -> bool:
            if left_out is not None and left_out[other]:
                return False
            if table.start_s[other] < end_s and start_s < table.end_s[other]:
                return False
            return verbs.isdisjoint(table.verbs[other].tolist()) or nouns.isdisjoint(
                table.nouns[other].tolist()
            )

        return is_negative

    def _row_outside(self, place: int, start: int, end: int, rng: np.random.Generator) -> int:
        """Any row but those at places [start, end)."""
        order = self._table.scenes.segments.values
        if end - start == len(order):  # a single video: leave out the anchor alone
            start, end = place, place + 1
        drawn = int(rng.integers(len(order) - (end - start)))
        return int(order[drawn if drawn < start else drawn + end - start])
