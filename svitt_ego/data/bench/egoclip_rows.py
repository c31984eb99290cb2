"""A made-up `egoclip.csv` with as many rows as EgoClip and a like distribution."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from svitt_ego.data.synthetic.narrations import COLUMNS

ROWS = 3_847_723
VERBS, NOUNS = 118, 582
"""Classes of EgoClip's taxonomy."""
MEAN_VIDEO_S, CLIPS_PER_MINUTE = 1440.0, 22.0
"""Ego4D's videos are 24 minutes long on average; EgoClip has 3.85 M clips in 2,927 hours."""
LONE_SEGMENTS = 0.06
"""Share of the minutes in which a single clip is narrated."""
MALFORMED_EVERY = 500_000

_ROWS_AT_ONCE = 200_000
_TEXT = """picks puts holds the a bag of clothes from floor table cup knife with left right hand
turns opens drawer looks around washes plate in sink moves phone cuts onion on board"""


def write_egoclip(path: Path, rows: int, seed: int = 0, progress: bool = True) -> None:
    """Write a metadata file: clips of about a second, narrated about every three seconds, tags by
    Zipf's law, one malformed row in `MALFORMED_EVERY`."""
    rng = np.random.default_rng(seed)
    words = _TEXT.split()
    phrases = [" ".join(rng.choice(words, rng.integers(3, 10))) for _ in range(50_000)]
    with (
        path.open("w", encoding="utf-8") as file,
        tqdm(total=rows, desc=path.name, unit="row", unit_scale=True, disable=not progress) as bar,
    ):
        file.write("\t".join(COLUMNS) + "\n")
        written = 0
        while written < rows:
            count = min(_ROWS_AT_ONCE, rows - written)
            minutes_of_videos, narrated_s = _times(rng, count)
            uids = [_uid(rng) for _ in range(minutes_of_videos[-1] + 1)]
            file.writelines(_lines(rng, written, uids, minutes_of_videos, narrated_s, phrases))
            written += count
            bar.update(count)


def _times(rng: np.random.Generator, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The video and the narration time of each row, in their order."""
    clips_of_minute = np.maximum(1, rng.poisson(CLIPS_PER_MINUTE, rows))
    clips_of_minute[rng.random(rows) < LONE_SEGMENTS] = 1
    minutes = int(np.searchsorted(np.cumsum(clips_of_minute), rows)) + 1
    minute = np.repeat(np.arange(minutes), clips_of_minute[:minutes])[:rows]
    starts_video = rng.random(minutes) < 60 / MEAN_VIDEO_S
    starts_video[0] = True
    video_of_minute = np.cumsum(starts_video) - 1
    first_minute = np.flatnonzero(starts_video)
    within = minute - first_minute[video_of_minute[minute]]
    time_s = within * 60 + rng.uniform(0, 60, rows)
    video = video_of_minute[minute]
    order = np.lexsort((time_s, video))
    return video[order], time_s[order]


def _lines(
    rng: np.random.Generator,
    first: int,
    uids: list[str],
    videos: NDArray[np.int64],
    narrated_s: NDArray[np.float64],
    phrases: list[str],
) -> list[str]:
    rows = len(videos)
    half_s = rng.gamma(2.0, 0.25, rows) + 0.1
    starts, ends = (narrated_s - half_s).round(6), (narrated_s + half_s).round(6)
    verbs, nouns = _zipf(rng, VERBS, rows), _zipf(rng, NOUNS, 3 * rows).reshape(rows, 3)
    noun_counts = rng.choice(4, rows, p=(0.05, 0.5, 0.35, 0.1))
    verb_counts = rng.choice(3, rows, p=(0.04, 0.9, 0.06))
    said = rng.integers(len(phrases), size=rows)
    lines = []
    for i in range(rows):
        noun_list = nouns[i, : noun_counts[i]].tolist()
        verb_list = [int(verbs[i]), int(nouns[i, 2]) % VERBS][: verb_counts[i]]
        end = "soon" if (first + i + 1) % MALFORMED_EVERY == 0 else ends[i]
        lines.append(
            f"{first + i}\t{uids[videos[i]]}\t{MEAN_VIDEO_S}\tnarration_pass_1\t{i}\t"
            f"{narrated_s[i]:.6f}\t{starts[i]}\t{end}\t#C C {phrases[said[i]]}\t"
            f"{verb_list}\t{noun_list}\n"
        )
    return lines


def _zipf(rng: np.random.Generator, classes: int, count: int) -> NDArray[np.int64]:
    shares = 1 / (np.arange(classes) + 2.0)
    return rng.choice(classes, count, p=shares / shares.sum())


def _uid(rng: np.random.Generator) -> str:
    digits = rng.bytes(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
