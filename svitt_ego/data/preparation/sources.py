"""The videos to prepare, and the chunks they make."""

import math
from dataclasses import dataclass
from pathlib import Path

import av

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata.lines import LATEST_TIME_S
from svitt_ego.data.preparation.settings import Settings
from svitt_ego.data.video.container import open_video
from svitt_ego.data.video.errors import VideoError, check_there

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")


@dataclass(frozen=True)
class Source:
    """A video; its file's name without the suffix is its uid."""

    uid: str
    path: Path
    size_bytes: int
    mtime_ns: int
    duration_s: float


@dataclass(frozen=True)
class ChunkJob:
    source: Source
    chunk: int
    is_last: bool

    @property
    def key(self) -> tuple[str, int]:
        return self.source.uid, self.chunk


def find_sources(folder: Path) -> tuple[list[Source], list[VideoError]]:
    """The videos of a folder, by uid, and those that are none.

    Raises:
        ConfigError: no such folder, no video in it, or two of one uid.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    sources: dict[str, Source] = {}
    problems = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in sources:
            raise ConfigError(f"{path} and {sources[path.stem].path} have one name: rename one")
        try:
            sources[path.stem] = _source(path)
        except VideoError as error:
            problems.append(error)
    if not sources and not problems:
        raise ConfigError(f"{folder}: no video ({', '.join(SUFFIXES)}) in it")
    return list(sources.values()), problems


def chunk_jobs(source: Source, settings: Settings) -> list[ChunkJob]:
    if settings.layout == "whole":
        return [ChunkJob(source, 0, is_last=True)]
    chunks = max(1, math.ceil(source.duration_s / settings.chunk_s - 1e-6))
    return [ChunkJob(source, chunk, chunk == chunks - 1) for chunk in range(chunks)]


def _source(path: Path) -> Source:
    check_there(path)
    with open_video(path) as (container, stream):
        if stream.duration is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration_s = container.duration / av.time_base
        else:
            raise VideoError(path, "length unknown")
    if not 0 <= duration_s <= LATEST_TIME_S:
        raise VideoError(path, "corrupt")
    status = path.stat()
    return Source(path.stem, path, status.st_size, status.st_mtime_ns, duration_s)
