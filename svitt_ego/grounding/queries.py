"""Queries in natural language about clips: Ego4D's `nlq_{train,val,test}.json`, GroundNLQ's jsonl.

Some published queries have no text, and some windows no length. They are left out and counted, so
that a score is over the same queries as the challenge's.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.data.long_clip import LongClip


class QueriesError(ConfigError):
    """The queries cannot be used; names file, query and key."""


@dataclass(frozen=True)
class Query:
    annotation_uid: str
    index: int
    """Within the annotation, unusable queries counted as well."""
    clip_uid: str
    text: str
    clip_duration_s: float
    window_s: tuple[float, float] | None
    """Start and end of the answer in the clip; None in the test split, which keeps it back."""

    @property
    def id(self) -> str:
        return f"{self.annotation_uid}_{self.index}"


@dataclass(frozen=True)
class Queries:
    path: str
    clips: tuple[LongClip, ...]
    """All of the file's; none of GroundNLQ's jsonl, which does not say where in a video one is."""
    usable: tuple[Query, ...]
    null: int
    """Without a text."""
    empty_windows: int
    """Whose window has no length."""
    left_out: frozenset[str] = frozenset()
    """Ids of both; a prediction file may answer them all the same."""

    @property
    def clip_uids(self) -> tuple[str, ...]:
        """Of the usable queries, each once, in the file's order."""
        return tuple(dict.fromkeys(query.clip_uid for query in self.usable))

    @property
    def texts(self) -> dict[str, str]:
        """By the query's id."""
        return {query.id: query.text for query in self.usable}

    def summary(self) -> str:
        return (
            f"{self.path}: {len(self.usable)} queries about {len(self.clip_uids)} clips; left out "
            f"{self.null} without text and {self.empty_windows} with an empty window"
        )


def read_queries(path: str | Path) -> Queries:
    """Read and check all queries of a file, in its order; `.jsonl` is GroundNLQ's format.

    Raises:
        QueriesError: not such a file, no usable query, two of the same id, a window that lies
            outside its clip, or something that is not as it must be.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QueriesError(f"{path}: cannot be read: {error}") from None
    clips: list[LongClip] = []
    found = _of_jsonl(text, path) if path.suffix == ".jsonl" else _of_json(text, path, clips)
    usable: dict[str, Query] = {}
    left_out: set[str] = set()
    null = empty_windows = 0
    for where, query in found:
        if not query.text:
            null += 1
            left_out.add(query.id)
            continue
        if query.window_s is not None:
            start_s, end_s = query.window_s
            if end_s <= start_s:
                empty_windows += 1
                left_out.add(query.id)
                continue
            if start_s >= query.clip_duration_s:
                raise QueriesError(
                    f"{path}, {where}: its window begins at {start_s:g} s, but clip "
                    f"{query.clip_uid} ends at {query.clip_duration_s:g} s"
                )
            if end_s <= 0:
                raise QueriesError(f"{path}, {where}: its window ends at {end_s:g} s, before 0")
        if query.id in usable:
            raise QueriesError(f"{path}, {where}: query {query.id} stands twice")
        usable[query.id] = query
    if not usable:
        raise QueriesError(f"{path}: holds no usable query")
    return Queries(
        str(path), tuple(clips), tuple(usable.values()), null, empty_windows, frozenset(left_out)
    )


def read_clips(paths: Sequence[str | Path]) -> tuple[LongClip, ...]:
    """All clips of files of `nlq_*.json`, each once.

    Raises:
        QueriesError: as `read_queries`, or a file without clips.
    """
    clips: dict[str, LongClip] = {}
    for path in paths:
        found = read_queries(path).clips
        if not found:
            raise QueriesError(f"{path}: does not say where its clips are: give an nlq_*.json")
        clips |= {clip.clip_uid: clip for clip in found}
    return tuple(clips.values())


def _of_json(text: str, path: Path, clips: list[LongClip]) -> Iterator[tuple[str, Query]]:
    """
    Args:
        clips: takes the clips.
    """
    try:
        tree = json.loads(text)
        for video in _get(tree, "videos", list):
            for clip in _get(video, "clips", list):
                clips.append(_long_clip(_get(video, "video_uid", str), clip))
                yield from _of_clip(clips[-1], clip)
    except ValueError as error:
        kind = "not JSON: " if isinstance(error, json.JSONDecodeError) else ""
        raise QueriesError(f"{path}: {kind}{error}") from None


def _long_clip(video_uid: str, clip: Any) -> LongClip:
    clip_uid = _get(clip, "clip_uid", str)
    try:
        start_s, end_s = _seconds(clip, "video_start_sec"), _seconds(clip, "video_end_sec")
    except ValueError as error:
        raise ValueError(f"clip {clip_uid}: {error}") from None
    return LongClip(clip_uid, video_uid, max(0.0, start_s), end_s)


def _of_clip(clip: LongClip, tree: Any) -> Iterator[tuple[str, Query]]:
    clip_uid, duration_s = clip.clip_uid, clip.duration_s
    try:
        for annotation in _get(tree, "annotations", list):
            annotation_uid = _get(annotation, "annotation_uid", str)
            for index, node in enumerate(_get(annotation, "language_queries", list)):
                where = f"annotation {annotation_uid}, query {index}"
                try:
                    text, window_s = _text(node), None
                    if text and ("clip_start_sec" in node or "clip_end_sec" in node):
                        window_s = (
                            _seconds(node, "clip_start_sec"),
                            _seconds(node, "clip_end_sec"),
                        )
                except ValueError as error:
                    raise ValueError(f"{where}: {error}") from None
                yield where, Query(annotation_uid, index, clip_uid, text, duration_s, window_s)
    except ValueError as error:
        raise ValueError(f"clip {clip_uid}: {error}") from None


def _of_jsonl(lines: str, path: Path) -> Iterator[tuple[str, Query]]:
    for number, line in enumerate(lines.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            node = json.loads(line)
            annotation_uid, _, index = _get(node, "query_id", str).rpartition("_")
            if not annotation_uid or not index.isdecimal():
                raise ValueError(f"query_id = {node['query_id']!r}: must be annotation_uid_index")
            text = _text(node)
            duration_s = _seconds(node, "duration")
            if duration_s <= 0:
                raise ValueError(f"duration = {duration_s:g}: must be above 0")
            window_s = _only_window(node) if text and "timestamps" in node else None
            clip_uid = _get(node, "video_id", str)
            query = Query(annotation_uid, int(index), clip_uid, text, duration_s, window_s)
        except ValueError as error:
            kind = "not JSON: " if isinstance(error, json.JSONDecodeError) else ""
            raise QueriesError(f"{path}, line {number}: {kind}{error}") from None
        yield f"line {number}", query


def _only_window(node: Any) -> tuple[float, float]:
    windows = _get(node, "timestamps", list)
    if len(windows) != 1 or not isinstance(windows[0], list) or len(windows[0]) != 2:
        raise ValueError(f"timestamps = {windows!r}: must be one window, [[start, end]]")
    ends = dict(zip(("start", "end"), windows[0], strict=True))
    return _seconds(ends, "start"), _seconds(ends, "end")


def _text(node: Any) -> str:
    """Of a query; "" where it is missing or null, which happens in the published files."""
    if not isinstance(node, dict):
        raise ValueError(f"a query must be an object, not {node!r}")
    text = node.get("query")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"query = {text!r}: must be a text")
    return (text or "").strip()


def _seconds(node: Any, key: str) -> float:
    value = _get(node, key, (int, float))
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{key} = {value!r:.60}: must be a finite number")
    return float(value)


def _get(node: Any, key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(node, dict) or key not in node:
        raise ValueError(f"{key} is missing")
    value = node[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise ValueError(f"{key} = {shown}: must be {names}")
    return value
