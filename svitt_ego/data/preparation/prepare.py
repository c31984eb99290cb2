"""A folder of source videos to a folder of prepared chunks, in parallel, to be gone on with."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from svitt_ego.config import ConfigError
from svitt_ego.data.preparation.encode_chunk import encode_chunk
from svitt_ego.data.preparation.manifest import ChunkManifest
from svitt_ego.data.preparation.settings import Settings
from svitt_ego.data.preparation.sources import ChunkJob, chunk_jobs, find_sources
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.worker_pool import run_jobs
from svitt_ego.durable_files import locked


@dataclass(frozen=True)
class Prepared:
    videos: int
    chunks: int
    already_there: int
    size_bytes: int
    problems: tuple[VideoError, ...]
    """Sources that could not be read, or not to their end."""

    def summary(self) -> str:
        """One line per fact."""
        lines = [
            f"{self.videos} videos, {self.chunks} chunks ({self.already_there} were there), "
            f"{self.size_bytes / 2**30:.2f} GiB"
        ]
        return "\n".join([*lines, *(f"  not prepared: {problem}" for problem in self.problems)])


def prepare_videos(
    source: Path, dest: Path, settings: Settings, workers: int, progress: bool = True
) -> Prepared:
    """Prepare every video of `source`, which is left as it is.

    A chunk's file appears when it has been encoded, decoded again and noted with its checksum, so
    a run that was killed goes on with the chunks that are missing.

    Raises:
        ConfigError: nothing to prepare, the folders or settings cannot be used, the disk is full.
    """
    sources, problems = find_sources(source)
    if dest.resolve() == source.resolve():
        raise ConfigError(f"{dest}: is the source folder: give another one")
    try:
        dest.mkdir(parents=True, exist_ok=True)
        with locked(dest):
            for unfinished in dest.rglob(".*.partial"):
                unfinished.unlink()
            manifest = ChunkManifest(dest, settings)
            jobs = [job for each in sources for job in chunk_jobs(each, settings)]
            missing = [job for job in jobs if not manifest.is_done(job)]
            problems += _run(missing, manifest, settings, dest, workers, progress)
            manifest.close()
    except OSError as error:
        mend = ": make room there and start again" if error.errno == errno.ENOSPC else ""
        raise ConfigError(f"{dest}: {error.strerror or error}{mend}") from None
    made = [chunk for key, chunk in manifest.chunks.items() if key in {job.key for job in jobs}]
    return Prepared(
        videos=len(sources),
        chunks=sum(chunk.frames > 0 for chunk in made),
        already_there=len(jobs) - len(missing),
        size_bytes=sum(chunk.size_bytes for chunk in made),
        problems=tuple(problems),
    )


def _run(
    jobs: Sequence[ChunkJob],
    manifest: ChunkManifest,
    settings: Settings,
    dest: Path,
    workers: int,
    progress: bool,
) -> list[VideoError]:
    def length_s(job: ChunkJob) -> float:
        rest_s = job.source.duration_s - job.chunk * settings.chunk_s
        return rest_s if settings.layout == "whole" else min(settings.chunk_s, rest_s)

    problems = []
    encode = partial(encode_chunk, settings=settings, dest=dest)
    with tqdm(
        total=sum(map(length_s, jobs)),
        desc="video",
        unit="s",
        unit_scale=True,
        disable=not progress,
    ) as bar:
        for job, result in run_jobs(encode, jobs, workers):
            if isinstance(result, VideoError):
                problems.append(result)
            else:
                manifest.add(result)
            bar.update(min(length_s(job), bar.total - bar.n))  # sums of fractions differ a little
    return problems
