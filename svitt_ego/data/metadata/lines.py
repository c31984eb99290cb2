"""One line of `egoclip.csv` (tab-separated, EgoVLP's format): what it must be, and its values."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

from svitt_ego.config import ConfigError

COLUMNS = (
    "video_uid",
    "narration_time",
    "clip_start",
    "clip_end",
    "clip_text",
    "tag_verb",
    "tag_noun",
)
"""What is read; further columns are ignored."""

LARGEST_TAG_ID = 65_535
"""Class masks are as wide as the highest id: one typing error must not ask for gigabytes."""

LATEST_TIME_S = 1e6
"""Eleven days: a clip until then would need thousands of chunks; no video is so long."""

_TAGS = re.compile(r"\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]", re.ASCII)


class MetadataError(ConfigError):
    """The metadata file cannot be used; names the file and what to mend."""


@dataclass(frozen=True)
class MalformedRow:
    """A row that was left out."""

    line: int
    """In the file, counted from 1; the header is line 1."""
    reason: str


Values = tuple[str, float, float, float, str, tuple[int, ...], tuple[int, ...]]
"""Of `COLUMNS`, in that order; times in seconds, clip_start not negative."""


@dataclass(frozen=True)
class Header:
    """The columns of a file."""

    columns: int
    places: tuple[int, ...]
    """Of `COLUMNS`, in that order."""
    pick: Callable[[list[str]], tuple[str, ...]]


def parse_header(path: Path, line: bytes) -> Header:
    """
    Raises:
        MetadataError: a column of `COLUMNS` is missing.
    """
    names = line.decode("utf-8-sig", errors="replace").strip("\r\n").split("\t")
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise MetadataError(
            f"{path}: the header lacks {', '.join(missing)}; it must be tab-separated and name "
            f"{', '.join(COLUMNS)}"
        )
    places = tuple(names.index(name) for name in COLUMNS)
    return Header(len(names), places, itemgetter(*places))


def parse_line(raw: bytes, header: Header) -> Values:
    """
    Raises:
        ValueError: a malformed row; the reason is short and says which column.
    """
    try:
        cells = raw.rstrip(b"\r\n").decode().split("\t")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if len(cells) != header.columns:
        raise ValueError(f"{len(cells)} columns instead of {header.columns}")
    wanted = header.pick(cells)
    if b'"' in raw:
        wanted = tuple(_unquote(cell) for cell in wanted)
    uid, narrated, start, end, text, verbs, nouns = wanted
    check_uid(uid)
    start_s = max(0.0, _seconds("clip_start", start))
    end_s = _seconds("clip_end", end)
    if end_s <= start_s:
        raise ValueError(f"clip_end {end_s} is not after clip_start {start_s}")
    return (
        uid,
        _seconds("narration_time", narrated),
        start_s,
        end_s,
        text,
        parse_tags("tag_verb", verbs),
        parse_tags("tag_noun", nouns),
    )


def check_uid(uid: str) -> None:
    """
    Raises:
        ValueError: it would not name a file or folder below the video root.
    """
    if not uid or "/" in uid or "\0" in uid or uid in (".", ".."):
        raise ValueError(f"video_uid {uid!r} is not a name")


@lru_cache(maxsize=65_536)
def parse_tags(column: str, cell: str) -> tuple[int, ...]:
    """Class ids of a cell such as ``[192, 115, 12]``.

    Raises:
        ValueError: it is anything else.
    """
    cell = cell.strip()
    if not _TAGS.fullmatch(cell):
        raise ValueError(f"{column} {cell!r} is not a list of class ids")
    ids = tuple(int(number) for number in cell[1:-1].split(",") if number.strip())
    if any(number > LARGEST_TAG_ID for number in ids):
        raise ValueError(f"{column} {cell!r} has an id above {LARGEST_TAG_ID}")
    return ids


def _unquote(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _seconds(column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{column} {cell!r} is not a number") from None
    if not abs(value) <= LATEST_TIME_S:
        raise ValueError(f"{column} {cell!r} is not a time in a video")
    return value
