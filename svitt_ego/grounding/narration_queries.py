"""Narrations as queries about the long clips they lie in, to pre-train on: there are many more of
them than of questions (NaQ: Ramakrishnan et al., CVPR 2023).

Deliberately not NaQ's: windows are EgoClip's clip_start and clip_end, not jittered.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svitt_ego.config import ConfigError
from svitt_ego.data.long_clip import LongClip
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.text import clean_narration
from svitt_ego.durable_files import write_atomically
from svitt_ego.grounding.queries import Query


@dataclass(frozen=True)
class NarrationQueries:
    queries: tuple[Query, ...]
    elsewhere: int
    """Narrations whose moment, or window, lies in no clip."""

    def summary(self) -> str:
        return (
            f"{len(self.queries)} narrations as queries; "
            f"{self.elsewhere} have their moment or their window in no clip"
        )


def narration_queries(table: ClipTable, clips: Sequence[LongClip]) -> NarrationQueries:
    """A query for each narration and each clip that holds its moment, `narration_time`, and some
    of its window, which is cut to the clip. The text is without Ego4D's marks for people.

    Raises:
        ConfigError: no narration lies in a clip.
    """
    order = np.argsort(table.video, kind="stable")
    bounds = np.searchsorted(table.video[order], np.arange(len(table.video_uids) + 1))
    rows_of = {
        uid: order[start:end]
        for uid, start, end in zip(table.video_uids, bounds, bounds[1:], strict=False)
    }
    queries: list[Query] = []
    used: set[int] = set()
    for clip in clips:
        for query, row in _of_clip(table, clip, rows_of.get(clip.video_uid, order[:0])):
            queries.append(query)
            used.add(row)
    if not queries:
        raise ConfigError(f"{table.path}: no narration lies in any of the {len(clips)} clips")
    return NarrationQueries(tuple(queries), len(table) - len(used))


def _of_clip(table: ClipTable, clip: LongClip, rows: np.ndarray) -> Iterator[tuple[Query, int]]:
    for row in rows.tolist():
        narration = table[row]
        start_s = max(0.0, narration.start_s - clip.start_s)
        end_s = min(clip.duration_s, narration.end_s - clip.start_s)
        is_inside = clip.start_s <= narration.narration_time_s < clip.end_s
        if is_inside and start_s < end_s:
            text = clean_narration(narration.text)
            yield (
                Query(
                    f"narrations-{clip.clip_uid}",
                    row,
                    clip.clip_uid,
                    text,
                    clip.duration_s,
                    (start_s, end_s),
                ),
                row,
            )


def write_queries(path: Path, queries: Sequence[Query]) -> None:
    """As GroundNLQ's jsonl, which `read_queries` reads back to equal queries."""
    lines = [
        {
            "query": query.text,
            "query_id": query.id,
            "duration": query.clip_duration_s,
            "video_id": query.clip_uid,
            "query_type": "narration",
        }
        | ({"timestamps": [list(query.window_s)]} if query.window_s else {})
        for query in queries
    ]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))
