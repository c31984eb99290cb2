"""Metadata against videos: which files are bad, which clips cannot be read."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.video.chunks import chunk_path
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frame_numbers import END_TOLERANCE_S, check_fps
from svitt_ego.data.video.frames import read_facts
from svitt_ego.data.video.whole_file import decode_whole
from svitt_ego.data.worker_pool import run_jobs
from svitt_ego.durable_files import write_atomically

Mode = Literal["fast", "full"]
PAST_THE_END = "past the end"


@dataclass(frozen=True)
class Problem:
    """A file that keeps clips from being read."""

    path: Path
    cause: str
    clips: int


@dataclass(frozen=True)
class CheckedData:
    files: int
    clips: int
    problems: tuple[Problem, ...]
    """Those of most clips first."""
    unreadable_rows: NDArray[np.int64]
    """Rising."""

    def to_tsv(self) -> str:
        lines = [f"{problem.path}\t{problem.cause}\t{problem.clips}" for problem in self.problems]
        return "\n".join(["path\tcause\tclips", *lines]) + "\n"

    def write(self, path: Path) -> None:
        write_atomically(path, self.to_tsv())

    def summary(self) -> str:
        """A line per fact: the total, then each cause."""
        unreadable = len(self.unreadable_rows)
        lines = [
            f"{self.clips} clips in {self.files} files: {unreadable} clips "
            f"({unreadable / self.clips:.2%}) are unreadable"
        ]
        files, clips = Counter(), Counter()
        for problem in self.problems:
            files[problem.cause] += 1
            clips[problem.cause] += problem.clips
        lines += [
            f"  {cause:<20} {count:>8} files {clips[cause]:>10} clips"
            for cause, count in files.most_common()
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Needs:
    """Each file that a row needs, and until when: rows with a clip across a border are in twice."""

    row: NDArray[np.int64]
    file: NDArray[np.int64]
    """Into `paths`."""
    until_s: NDArray[np.float64]
    """Time in the file."""
    is_first_chunk: NDArray[np.bool_]
    paths: tuple[Path, ...]


def check_data(
    table: ClipTable, files: VideoFiles, mode: Mode, workers: int, progress: bool = True
) -> CheckedData:
    """Look at every file that a clip needs, in parallel.

    Args:
        mode: fast reads the containers' heads: missing, empty and unreadable files, another frame
            rate, clips past the end; full decodes every frame as well: damage within a file.
    """
    needs = _needs(table, files)
    duration_s = np.zeros(len(needs.paths))
    causes: dict[int, str] = {}
    place_of = {path: place for place, path in enumerate(needs.paths)}
    inspect = partial(_inspect, files=files, mode=mode)
    with tqdm(total=len(needs.paths), desc="files", unit="file", disable=not progress) as bar:
        for path, result in run_jobs(inspect, needs.paths, workers):
            if isinstance(result, str):
                causes[place_of[path]] = result
            else:
                duration_s[place_of[path]] = result
            bar.update()
    is_bad = np.zeros(len(needs.paths), bool)
    is_bad[list(causes)] = True
    is_missing = np.array([causes.get(place) == "missing" for place in range(len(is_bad))])
    # the last frame of the chunk before stands in for a little of a chunk that is not there
    is_forgiven = is_missing[needs.file] & ~needs.is_first_chunk & (needs.until_s < END_TOLERANCE_S)
    in_bad_file = is_bad[needs.file] & ~is_forgiven
    is_past = ~is_bad[needs.file] & (needs.until_s > duration_s[needs.file] + END_TOLERANCE_S)
    problems = [
        Problem(needs.paths[place], causes.get(place, PAST_THE_END), int(count))
        for which in (in_bad_file, is_past)
        for place, count in zip(*np.unique(needs.file[which], return_counts=True), strict=True)
    ]
    return CheckedData(
        files=len(needs.paths),
        clips=len(table),
        problems=tuple(sorted(problems, key=lambda problem: (-problem.clips, problem.path))),
        unreadable_rows=np.unique(needs.row[in_bad_file | is_past]),
    )


def _needs(table: ClipTable, files: VideoFiles) -> _Needs:
    start_s, end_s = np.asarray(table.start_s), np.asarray(table.end_s)
    chunk_s = np.inf if files.layout == "whole" else files.chunk_s
    first = np.floor(start_s / chunk_s).astype(np.int64)
    last = np.maximum(first, np.ceil(end_s / chunk_s).astype(np.int64) - 1)  # end_s is not read
    counts = last - first + 1
    row = np.repeat(np.arange(len(table)), counts)
    chunk = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    border_s = np.zeros(len(row)) if files.layout == "whole" else chunk * chunk_s
    until_s = np.minimum(end_s[row] - border_s, chunk_s)
    chunks = int(last.max()) + 1  # of any video, at most
    keys, file = np.unique(table.video[row].astype(np.int64) * chunks + chunk, return_inverse=True)
    paths = [
        chunk_path(files, table.video_uids[key // chunks], key % chunks) for key in keys.tolist()
    ]
    return _Needs(row, file, until_s, chunk == 0, tuple(paths))


def _inspect(path: Path, files: VideoFiles, mode: Mode) -> float | str:
    """Its length in seconds, or the cause why it is bad."""
    try:
        if mode == "full":
            return decode_whole(path, files.decoder, files.fps).duration_s
        facts = read_facts(path, files.decoder)
        check_fps(path, facts, files.fps)
        return facts.duration_s
    except VideoError as error:
        return error.cause
