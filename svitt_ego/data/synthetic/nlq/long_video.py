"""A long video: the wearer works at one table after another, each with its own scene."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svitt_ego.data.synthetic.narrations import Row, egoclip_rows
from svitt_ego.data.synthetic.nlq.sizes import NlqSize
from svitt_ego.data.synthetic.render import Renderer
from svitt_ego.data.synthetic.script import Script, write_script
from svitt_ego.data.synthetic.video import write_video

_FIRST_INDEX = 1_000_000
"""Scripts of tables are numbered from here: none is one of EgoSynth's short videos."""


@dataclass(frozen=True)
class LongVideo:
    """Tables in their order, and the seconds at which they begin."""

    video_uid: str
    tables: tuple[Script, ...]
    starts_s: tuple[float, ...]

    @property
    def duration_s(self) -> float:
        return self.starts_s[-1] + self.tables[-1].duration_s


def stable_uid(*parts: object) -> str:
    """The same UUID for the same parts."""
    digest = hashlib.sha256("/".join(map(str, ("egosynth-nlq", *parts))).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def long_video_uid(seed: int, index: int, size: NlqSize) -> str:
    return stable_uid(seed, index, size.tables, size.table_s, size.fps)


def write_long_video(seed: int, index: int, size: NlqSize) -> LongVideo:
    """The script of long video `index`; pure: the same arguments give the same."""
    tables = tuple(
        write_script(seed, _table_index(index, table, size), size.table_s, size.fps)
        for table in range(size.tables)
    )
    frames = np.cumsum([0, *(round(table.duration_s * size.fps) for table in tables[:-1])])
    starts_s = tuple(float(frame) / size.fps for frame in frames)
    return LongVideo(long_video_uid(seed, index, size), tables, starts_s)


def long_video_rows(video: LongVideo, seed: int, index: int, size: NlqSize) -> list[Row]:
    """Its narrations as rows of EgoClip; clip_idx is 0 until the rows of all videos are joined."""
    rows: list[Row] = []
    for table, (script, start_s) in enumerate(zip(video.tables, video.starts_s, strict=True)):
        table_index = _table_index(index, table, size)
        for row in egoclip_rows(script, seed, table_index, allow_unsure=True):
            moved = {
                key: round(float(row[key]) + start_s, 6)
                for key in ("narration_time", "clip_start", "clip_end")
            }
            rows.append(
                row
                | moved
                | {
                    "video_uid": video.video_uid,
                    "video_dur": round(video.duration_s, 6),
                    "narration_ind": len(rows),
                }
            )
    return rows


def make_long_video(folder: Path, size: NlqSize, seed: int, index: int) -> None:
    """Render and encode video `index` to `folder`/videos/{video_uid}, which appears when done."""
    video = write_long_video(seed, index, size)
    write_video(folder, video.video_uid, _frames(video, size), size.fps, size.chunk_s)


def _frames(video: LongVideo, size: NlqSize) -> Iterator[np.ndarray]:
    for script in video.tables:
        renderer = Renderer(script, size.width, size.height)
        for frame in range(round(script.duration_s * size.fps)):
            yield renderer.frame(frame / size.fps)


def _table_index(index: int, table: int, size: NlqSize) -> int:
    return _FIRST_INDEX + index * size.tables + table
