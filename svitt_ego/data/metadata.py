"""The training clips: `egoclip.csv` (tab-separated, EgoVLP's format) as compact columns.

Columns are flat numpy arrays and one text blob rather than Python objects, so that loader workers,
which are forked, share them instead of copying them page by page as reference counts change.
"""

import math
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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

_TAGS = re.compile(r"\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]")


class MetadataError(ConfigError):
    """The metadata file cannot be used; names the file and what to mend."""


@dataclass(frozen=True)
class MalformedRow:
    """A row that was left out."""

    line: int
    """In the file, counted from 1; the header is line 1."""
    reason: str


@dataclass(frozen=True)
class ClipRow:
    """One narrated clip. Times are seconds in the source video."""

    video_uid: str
    narration_time_s: float
    start_s: float
    end_s: float
    text: str
    verbs: tuple[int, ...]
    nouns: tuple[int, ...]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row r is ``values[offsets[r] : offsets[r + 1]]``."""

    values: NDArray
    offsets: NDArray[np.int64]

    def __getitem__(self, row: int) -> NDArray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True)
class ClipTable:
    """All well-formed rows of a metadata file; a row's index here is its identity everywhere.

    n rows: video (n,) int32 into `video_uids`; narration_time_s, start_s, end_s (n,) float64;
    verbs and nouns ragged uint16; texts ragged UTF-8 bytes.
    """

    path: Path
    video_uids: tuple[str, ...]
    video: NDArray[np.int32]
    narration_time_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    verbs: Ragged
    nouns: Ragged
    texts: Ragged
    malformed: tuple[MalformedRow, ...]
    verb_classes: int
    """1 + the highest verb id, at least 1."""
    noun_classes: int

    @classmethod
    def open(cls, path: str | Path, strict: bool = False) -> "ClipTable":
        """Read a metadata file. Malformed rows are left out and listed in `malformed`.

        A negative clip_start becomes 0. Rows are lines: a stray quote in one never swallows the
        next.

        Args:
            path: tab-separated, with a header that names at least `COLUMNS`.
            strict: a malformed row is an error.

        Raises:
            MetadataError: not a file, no such column, no usable row, or (strict) a malformed row.
        """
        path = Path(path)
        try:
            file = path.open("rb")
        except OSError as error:
            reason = error.strerror or str(error)
            raise MetadataError(f"data.metadata = {str(path)!r}: {reason}") from None
        with file:
            columns = _column_places(path, file.readline())
            rows = _Columns()
            malformed = []
            for line, raw in enumerate(file, start=2):
                if not raw.strip():
                    continue
                try:
                    rows.append(_parse(raw, columns))
                except ValueError as error:
                    if strict:
                        raise MetadataError(f"{path}, line {line}: {error}") from None
                    malformed.append(MalformedRow(line, str(error)))
        if not rows.start_s:
            first = "".join(f", line {row.line}: {row.reason}" for row in malformed[:1])
            raise MetadataError(f"{path}: no usable row ({len(malformed)} malformed{first})")
        return rows.table(path, tuple(malformed))

    def __len__(self) -> int:
        return len(self.video)

    def __getitem__(self, row: int) -> ClipRow:
        return ClipRow(
            video_uid=self.video_uids[self.video[row]],
            narration_time_s=float(self.narration_time_s[row]),
            start_s=float(self.start_s[row]),
            end_s=float(self.end_s[row]),
            text=self.texts[row].tobytes().decode(),
            verbs=tuple(self.verbs[row].tolist()),
            nouns=tuple(self.nouns[row].tolist()),
        )


@dataclass
class _Columns:
    """Growing columns, 8 bytes a number."""

    uids: dict[str, int] = field(default_factory=dict)
    video: array = field(default_factory=lambda: array("i"))
    narration_time_s: array = field(default_factory=lambda: array("d"))
    start_s: array = field(default_factory=lambda: array("d"))
    end_s: array = field(default_factory=lambda: array("d"))
    verbs: array = field(default_factory=lambda: array("H"))
    verb_offsets: array = field(default_factory=lambda: array("q", [0]))
    nouns: array = field(default_factory=lambda: array("H"))
    noun_offsets: array = field(default_factory=lambda: array("q", [0]))
    text: bytearray = field(default_factory=bytearray)
    text_offsets: array = field(default_factory=lambda: array("q", [0]))

    def append(self, row: ClipRow) -> None:
        self.video.append(self.uids.setdefault(row.video_uid, len(self.uids)))
        self.narration_time_s.append(row.narration_time_s)
        self.start_s.append(row.start_s)
        self.end_s.append(row.end_s)
        self.verbs.extend(row.verbs)
        self.verb_offsets.append(len(self.verbs))
        self.nouns.extend(row.nouns)
        self.noun_offsets.append(len(self.nouns))
        self.text += row.text.encode()
        self.text_offsets.append(len(self.text))

    def table(self, path: Path, malformed: tuple[MalformedRow, ...]) -> ClipTable:
        def numbers(column: array | bytearray, dtype: type) -> NDArray:
            return np.frombuffer(column, dtype) if column else np.empty(0, dtype)

        def ragged(values: array | bytearray, dtype: type, offsets: array) -> Ragged:
            return Ragged(numbers(values, dtype), numbers(offsets, np.int64))

        return ClipTable(
            path=path,
            video_uids=tuple(self.uids),
            video=numbers(self.video, np.int32),
            narration_time_s=numbers(self.narration_time_s, np.float64),
            start_s=numbers(self.start_s, np.float64),
            end_s=numbers(self.end_s, np.float64),
            verbs=ragged(self.verbs, np.uint16, self.verb_offsets),
            nouns=ragged(self.nouns, np.uint16, self.noun_offsets),
            texts=ragged(self.text, np.uint8, self.text_offsets),
            malformed=malformed,
            verb_classes=1 + max(self.verbs, default=0),
            noun_classes=1 + max(self.nouns, default=0),
        )


@dataclass(frozen=True)
class _Places:
    count: int
    pick: Callable[[list[str]], tuple[str, ...]]
    """The cells of `COLUMNS`, in that order."""


def _column_places(path: Path, header: bytes) -> _Places:
    names = header.decode("utf-8-sig", errors="replace").strip("\r\n").split("\t")
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise MetadataError(
            f"{path}: the header lacks {', '.join(missing)}; it must be tab-separated and name "
            f"{', '.join(COLUMNS)}"
        )
    return _Places(len(names), itemgetter(*(names.index(name) for name in COLUMNS)))


def _parse(raw: bytes, places: _Places) -> ClipRow:
    """Raises ValueError with a reason that is short and says which column."""
    try:
        cells = raw.rstrip(b"\r\n").decode().split("\t")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if len(cells) != places.count:
        raise ValueError(f"{len(cells)} columns instead of {places.count}")
    wanted = places.pick(cells)
    if b'"' in raw:
        wanted = tuple(_unquote(cell) for cell in wanted)
    uid, narrated, start, end, text, verbs, nouns = wanted
    if not uid or "/" in uid or uid in (".", ".."):
        raise ValueError(f"video_uid {uid!r} is not a name")
    start_s = max(0.0, _seconds("clip_start", start))
    end_s = _seconds("clip_end", end)
    if end_s <= start_s:
        raise ValueError(f"clip_end {end_s} is not after clip_start {start_s}")
    return ClipRow(
        video_uid=uid,
        narration_time_s=_seconds("narration_time", narrated),
        start_s=start_s,
        end_s=end_s,
        text=text,
        verbs=_tags("tag_verb", verbs),
        nouns=_tags("tag_noun", nouns),
    )


def _unquote(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _seconds(column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{column} {cell!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{column} {cell!r} is not a finite number")
    return value


@lru_cache(maxsize=65_536)
def _tags(column: str, cell: str) -> tuple[int, ...]:
    """Class ids of a cell such as ``[192, 115, 12]``."""
    cell = cell.strip()
    if not _TAGS.fullmatch(cell):
        raise ValueError(f"{column} {cell!r} is not a list of class ids")
    ids = tuple(int(number) for number in cell[1:-1].split(",") if number.strip())
    if any(number > LARGEST_TAG_ID for number in ids):
        raise ValueError(f"{column} {cell!r} has an id above {LARGEST_TAG_ID}")
    return ids
