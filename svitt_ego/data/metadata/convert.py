"""`egoclip.csv` to a folder of columns and indices that are opened by memory map:

clips.arrow                 rows, uncompressed Arrow IPC, one record batch
video_uids.json             the uids that its column `video` counts
segments.*.npy, place.npy   rows by scene and time (`Scenes`)
verbs.*.npy, nouns.*.npy    rows by tag (`Csr`)
malformed.tsv               line and reason of what was left out
manifest.json               version, source, checksums; written last
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from svitt_ego.data.metadata.blocks import SCHEMA, BlockParser
from svitt_ego.data.metadata.csr import Csr, rows_by_tag
from svitt_ego.data.metadata.lines import MetadataError, parse_header
from svitt_ego.data.metadata.manifest import FileMark, Manifest, mark_of
from svitt_ego.data.metadata.scenes import Scenes

CLIPS, VIDEO_UIDS, MALFORMED = "clips.arrow", "video_uids.json", "malformed.tsv"
LISTED_MALFORMED = 100_000

_BLOCK_BYTES = 1 << 20
"""Small: one malformed row makes its whole block slow."""


def convert(source: Path, folder: Path, progress: bool = True) -> Manifest:
    """Write `folder`, which appears, or is replaced, when it is complete.

    Takes about 250 bytes of memory a row. The caller holds the lock.

    Raises:
        MetadataError: not a file, no such column, no usable row, or the folder cannot be written.
    """
    try:
        mtime_ns = source.stat().st_mtime_ns
        parser, batches, mark = _read(source, progress)
    except OSError as error:
        raise MetadataError(f"{source}: {error.strerror or error}") from None
    rows = sum(map(len, batches))
    if not rows:
        first = "".join(f", line {row.line}: {row.reason}" for row in parser.malformed[:1])
        raise MetadataError(f"{source}: no usable row ({len(parser.malformed)} malformed{first})")
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        partial.mkdir(parents=True)
        classes = _write(partial, parser, batches)
        Manifest(
            source=mark,
            source_mtime_ns=mtime_ns,
            rows=rows,
            malformed_rows=len(parser.malformed),
            malformed_reasons=_count_reasons(parser),
            verb_classes=classes[0],
            noun_classes=classes[1],
            files={path.name: mark_of(path) for path in sorted(partial.iterdir())},
        ).write(partial)
        _replace(folder, partial)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise cannot_write(folder, error) from None
    manifest = Manifest.read(folder)
    assert manifest is not None
    return manifest


def cannot_write(folder: Path, error: OSError) -> MetadataError:
    mend = (
        "make room on that disk"
        if error.errno == errno.ENOSPC
        else "make its folder writable, or convert on another machine with prepare_metadata.py"
    )
    return MetadataError(
        f"{folder}: the converted metadata cannot be written: {error.strerror or error}; {mend}"
    )


def _read(source: Path, progress: bool) -> tuple[BlockParser, list[pa.RecordBatch], FileMark]:
    digest, batches = hashlib.sha256(), []
    size_bytes = source.stat().st_size
    bar = tqdm(total=size_bytes, desc=source.name, unit="B", unit_scale=True, disable=not progress)
    with source.open("rb") as file, bar:
        first = file.readline()
        digest.update(first)
        parser = BlockParser(parse_header(source, first))
        line, read_bytes = 2, len(first)
        while block := file.read(_BLOCK_BYTES):
            block += file.readline()
            digest.update(block)
            batches.append(parser.parse(block, line))
            line += block.count(b"\n")
            read_bytes += len(block)
            bar.update(read_bytes - bar.n)
    return parser, batches, FileMark(read_bytes, digest.hexdigest())


def _write(folder: Path, parser: BlockParser, batches: list[pa.RecordBatch]) -> tuple[int, int]:
    """Returns the numbers of verb and noun classes."""
    rows = pa.Table.from_batches(batches, SCHEMA).combine_chunks()
    batches.clear()
    with pa.OSFile(str(folder / CLIPS), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(rows, max_chunksize=len(rows))
    video, narration_time_s = (rows[name].to_numpy() for name in ("video", "narration_time_s"))
    Scenes.of(video, narration_time_s, len(parser.uids)).save(folder)
    classes = []
    for name in ("verbs", "nouns"):
        (lists,) = rows[name].chunks
        tags = Csr(lists.values.to_numpy(), lists.offsets.to_numpy())
        classes.append(1 + int(tags.values.max(initial=0)))
        rows_by_tag(tags, classes[-1]).save(folder, name)
    (folder / VIDEO_UIDS).write_text(json.dumps(list(parser.uids)), encoding="utf-8")
    listed = "".join(f"{row.line}\t{row.reason}\n" for row in parser.malformed[:LISTED_MALFORMED])
    (folder / MALFORMED).write_text(f"line\treason\n{listed}", encoding="utf-8")
    return classes[0], classes[1]


def _count_reasons(parser: BlockParser) -> dict[str, int]:
    """Quoted cells and numbers are what makes rows differ, not reasons."""
    reasons = Counter(
        re.sub(r"(['\"]).*\1|-?\d+(\.\d+)?(e[+-]?\d+)?", "…", row.reason)
        for row in parser.malformed
    )
    return dict(reasons.most_common())


def _replace(folder: Path, partial: Path) -> None:
    """Whoever has the old files mapped keeps them."""
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(partial, folder)
    shutil.rmtree(old, ignore_errors=True)
