"""Long stretches of video, minutes rather than seconds, and the queries asked about them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.video.chunks import chunk_path
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frames import read_facts


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


@dataclass(frozen=True)
class NlqFile:
    """Clips and queries of `nlq_{train,val}.json`. A query's id is `<annotation_uid>_<i>`."""

    clips: tuple[LongClip, ...]
    queries: dict[str, str]
    empty_queries: int
    """Left out: the published files have a few without text."""


def read_nlq(path: str | Path) -> NlqFile:
    """
    Raises:
        ConfigError: not a file of Ego4D NLQ; names video and key.
    """
    tree = _read_json(path)
    clips: dict[str, LongClip] = {}
    queries: dict[str, str] = {}
    empty = 0
    try:
        for video in tree["videos"]:
            for clip in video["clips"]:
                uid = clip["clip_uid"]
                start_s, end_s = max(0.0, clip["video_start_sec"]), clip["video_end_sec"]
                clips[uid] = LongClip(uid, video["video_uid"], float(start_s), float(end_s))
                for annotation in clip.get("annotations", ()):
                    for number, query in enumerate(annotation["language_queries"]):
                        text = query.get("query")
                        if text:
                            queries[f"{annotation['annotation_uid']}_{number}"] = str(text)
                        empty += not text
    except KeyError as error:
        raise ConfigError(f"{path}: not an NLQ file: {error.args[0]} is missing") from None
    except (TypeError, AttributeError):
        raise ConfigError(f"{path}: not an NLQ file: a value is of another kind") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not clips:
        raise ConfigError(f"{path}: has no clip")
    return NlqFile(tuple(clips.values()), queries, empty)


def read_queries(path: str | Path) -> dict[str, str]:
    """Texts by query id, from an NLQ file or GroundNLQ's lines of `query_id` and `query` (.jsonl).

    Raises:
        ConfigError: neither, or without any query.
    """
    if Path(path).suffix != ".jsonl":
        queries = read_nlq(path).queries
    else:
        queries = {}
        for number, line in enumerate(_read_text(path).splitlines(), start=1):
            try:
                row = json.loads(line)
                if row["query"]:
                    queries[str(row["query_id"])] = str(row["query"])
            except (ValueError, KeyError, TypeError):
                raise ConfigError(
                    f"{path}, line {number}: must be an object with query_id and query"
                ) from None
    if not queries:
        raise ConfigError(f"{path}: has no query")
    return queries


def whole_videos(files: VideoFiles) -> tuple[tuple[LongClip, ...], dict[str, str]]:
    """Every video below the root as one clip of its own uid, and by path why another is unreadable.

    Raises:
        ConfigError: there is no video in the layout.
    """
    root = Path(files.root)
    try:
        names = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"data.videos.root = {files.root!r}: {error.strerror or error}") from None
    if files.layout == "whole":
        uids = [path.stem for path in names if path.suffix == ".mp4" and path.is_file()]
    else:
        uids = [path.name.removesuffix(".mp4") for path in names if path.is_dir()]
    clips, unreadable = [], {}
    for uid in uids:
        try:
            clips.append(LongClip(uid, uid, 0.0, _duration_s(files, uid)))
        except VideoError as error:
            unreadable[str(error.path)] = error.cause
        except ValueError as error:
            unreadable[str(root / uid)] = str(error)
    if not clips:
        first = next(iter(unreadable.items()), None)
        found = f"; unreadable is {first[0]}: {first[1]}" if first else ""
        raise ConfigError(
            f"data.videos.root = {files.root!r}: no readable video in layout {files.layout!r}"
            f"{found}"
        )
    return tuple(clips), unreadable


def _duration_s(files: VideoFiles, uid: str) -> float:
    """From the container of the last chunk; chunks are numbered without a gap."""
    if files.layout == "whole":
        return read_facts(chunk_path(files, uid, 0), files.decoder).duration_s
    last = 0
    while chunk_path(files, uid, last + 1).is_file():
        last += 1
    within_s = read_facts(chunk_path(files, uid, last), files.decoder).duration_s
    return last * files.chunk_s + within_s


def _read_json(path: str | Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file") from None
