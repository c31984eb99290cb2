"""A stretch of lines of `egoclip.csv` as Arrow columns.

A stretch in which nothing is unusual is parsed by Arrow, at once; any other line by line
(`parse_line`), which alone says what is malformed. Both give the same rows.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from svitt_ego.data.metadata.lines import (
    LATEST_TIME_S,
    Header,
    MalformedRow,
    check_uid,
    parse_line,
    parse_tags,
)

SCHEMA = pa.schema(
    [
        ("video", pa.int32()),
        ("narration_time_s", pa.float64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.large_utf8()),
        ("verbs", pa.large_list(pa.uint16())),
        ("nouns", pa.large_list(pa.uint16())),
    ]
)
"""Of the converted rows; video counts the video uids by first appearance."""

_TIME, _TAGS = pa.float64(), pa.utf8()
_TYPES = (pa.utf8(), _TIME, _TIME, _TIME, pa.large_utf8(), _TAGS, _TAGS)
_NEED_LINES = (b'"', b"\r", b"\n\n", b"\0")
"""Quotes, line ends of Windows, blank lines: rare, and read line by line."""


@dataclass
class BlockParser:
    """Parses stretches of one file in order; numbers the videos across them."""

    header: Header
    uids: dict[str, int] = field(default_factory=dict)
    malformed: list[MalformedRow] = field(default_factory=list)

    def parse(self, block: bytes, first_line: int) -> pa.RecordBatch:
        """The well-formed rows of whole lines; notes the others.

        Args:
            first_line: number of the block's first line in the file.
        """
        if not any(sign in block for sign in _NEED_LINES) and not block.startswith(b"\n"):
            try:
                return self._parse_at_once(block)
            except (pa.ArrowInvalid, ValueError):
                pass  # something is malformed: find out what
        return self._parse_lines(block, first_line)

    def _parse_at_once(self, block: bytes) -> pa.RecordBatch:
        """
        Raises:
            ValueError, pa.ArrowInvalid: a row is malformed, or cannot be shown not to be.
        """
        block.decode()  # all of it: Arrow looks at the wanted columns alone
        names = [str(place) for place in range(self.header.columns)]
        wanted = [names[place] for place in self.header.places]
        table = pa.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pa.csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict(zip(wanted, _TYPES, strict=True)),
                null_values=[],
            ),
        )
        uid, narrated, start, end, text, verbs, nouns = (
            column.combine_chunks() for column in table.columns
        )
        narrated_s, start_s, end_s = (c.to_numpy() for c in (narrated, start, end))
        if not all(
            (abs(times_s) <= LATEST_TIME_S).all() for times_s in (narrated_s, start_s, end_s)
        ):
            raise ValueError("a time is not one in a video")
        start_s = np.maximum(start_s, 0.0)
        if (end_s <= start_s).any():
            raise ValueError("clip_end is not after clip_start")
        verb_lists, noun_lists = _tag_lists("tag_verb", verbs), _tag_lists("tag_noun", nouns)
        video = self._number_videos(uid)  # last: a block that fails must not number any
        columns = [video, narrated_s, start_s, end_s, text, verb_lists, noun_lists]
        arrays = [pa.array(c) if isinstance(c, np.ndarray) else c for c in columns]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)

    def _number_videos(self, uid: pa.StringArray) -> NDArray[np.int32]:
        coded = uid.dictionary_encode()
        names = coded.dictionary.to_pylist()
        for name in names:
            check_uid(name)
        numbers = [self.uids.setdefault(name, len(self.uids)) for name in names]
        return np.array(numbers, np.int32)[coded.indices.to_numpy()]

    def _parse_lines(self, block: bytes, first_line: int) -> pa.RecordBatch:
        rows = []
        for line, raw in enumerate(block.split(b"\n"), start=first_line):
            if not raw.strip():
                continue
            try:
                uid, *values = parse_line(raw, self.header)
            except ValueError as error:
                self.malformed.append(MalformedRow(line, str(error)))
                continue
            rows.append((self.uids.setdefault(uid, len(self.uids)), *values))
        columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _tag_lists(column: str, cells: pa.StringArray) -> pa.LargeListArray:
    """Few different cells make up most of a file: each is parsed once.

    Raises:
        ValueError: a cell is not a list of class ids.
    """
    coded = cells.dictionary_encode()
    tags = [parse_tags(column, cell) for cell in coded.dictionary.to_pylist()]
    return pa.array(tags, pa.large_list(pa.uint16())).take(coded.indices)
