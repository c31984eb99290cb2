"""EPIC-KITCHENS-100 multi-instance retrieval: its files, and what is relevant to what.

`EPIC_100_retrieval_test.csv` has a row for each clip, `EPIC_100_retrieval_test_sentence.csv` one
for each different sentence (Damen et al., "Rescaling Egocentric Vision", IJCV 2022).
"""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svitt_ego.config import ConfigError
from svitt_ego.evaluation.retrieval_task import RetrievalTask
from svitt_ego.evaluation.video_clip import VideoClip

_CLIP_COLUMNS = (
    *("narration_id", "video_id", "start_timestamp", "stop_timestamp"),
    *("verb_class", "all_noun_classes"),
)
_SENTENCE_COLUMNS = ("narration_id", "narration")


def read_epic_kitchens(clips_csv: str | Path, sentences_csv: str | Path) -> RetrievalTask:
    """A sentence has the classes of the clip of its narration_id.

    Raises:
        ConfigError: a file cannot be read, lacks a column or has an unusable row; names the line.
    """
    clips: list[VideoClip] = []
    verbs: list[list[int]] = []
    nouns: list[list[int]] = []
    row_of: dict[str, int] = {}
    for line, row in _rows(clips_csv, _CLIP_COLUMNS):
        try:
            start_s, end_s = (_seconds(row[f"{end}_timestamp"]) for end in ("start", "stop"))
            if end_s <= start_s:
                raise ValueError(f"stop {end_s} s is not after start {start_s} s")
            row_of[row["narration_id"]] = len(clips)
            verbs.append([_class(row["verb_class"])])
            nouns.append(_classes(row["all_noun_classes"]))
        except ValueError as error:
            raise ConfigError(f"{clips_csv}, line {line}: {error}") from None
        clips.append(VideoClip(row["video_id"], start_s, end_s))
    sentences: list[str] = []
    source: list[int] = []
    for line, row in _rows(sentences_csv, _SENTENCE_COLUMNS):
        if row["narration_id"] not in row_of:
            raise ConfigError(
                f"{sentences_csv}, line {line}: narration_id {row['narration_id']!r} is not in "
                f"{clips_csv}"
            )
        sentences.append(row["narration"])
        source.append(row_of[row["narration_id"]])
    relevance = (_overlaps(verbs, source) + _overlaps(nouns, source)) / 2
    return RetrievalTask(tuple(clips), tuple(sentences), relevance)


def _overlaps(classes: Sequence[Sequence[int]], source: Sequence[int]) -> NDArray[np.float32]:
    """Intersection over union of the class sets of each clip and of the clip `source` of each
    sentence: (clips, sentences)."""
    has = np.zeros((len(classes), 1 + max(max(of_clip) for of_clip in classes)), np.float32)
    for row, of_clip in zip(has, classes, strict=True):
        row[list(of_clip)] = 1
    common = has @ has[source].T
    sizes = has.sum(axis=1)
    return common / (sizes[:, None] + sizes[source] - common)


def _rows(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows with the number of the line where each ends."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(f"{path}, line 1: no column {', '.join(missing)}")
            rows = []
            for row in reader:
                if any(row[name] is None for name in columns):
                    raise ConfigError(f"{path}, line {reader.line_num}: too few cells")
                rows.append((reader.line_num, row))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not a CSV file: {error}") from None
    if not rows:
        raise ConfigError(f"{path}: has no row but its header")
    return rows


def _seconds(timestamp: str) -> float:
    """Of `HH:MM:SS.ss`."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", timestamp.strip())
    if found is None:
        raise ValueError(f"{timestamp!r}: must be a time HH:MM:SS.ss")
    hours, minutes, seconds = found.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


_LARGEST_CLASS = 65_535


def _class(cell: str) -> int:
    if not re.fullmatch(r"\d+", cell.strip()) or int(cell) > _LARGEST_CLASS:
        raise ValueError(f"{cell!r}: must be a class number from 0 to {_LARGEST_CLASS}")
    return int(cell)


def _classes(cell: str) -> list[int]:
    """Of `[11, 3]`."""
    try:
        classes = json.loads(cell)
    except ValueError:
        classes = None
    if not isinstance(classes, list) or not classes:
        raise ValueError(f"{cell!r}: must be a list of class numbers such as [11, 3]")
    return [_class(str(number)) for number in classes]
