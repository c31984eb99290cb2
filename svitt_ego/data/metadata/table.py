"""The training clips as columns mapped from files, which all processes of a machine share."""

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from svitt_ego.data.metadata.convert import (
    CLIPS,
    MALFORMED,
    VIDEO_UIDS,
    cannot_write,
    convert,
)
from svitt_ego.data.metadata.csr import Csr
from svitt_ego.data.metadata.lines import MalformedRow, MetadataError
from svitt_ego.data.metadata.manifest import Manifest
from svitt_ego.data.metadata.scenes import Scenes
from svitt_ego.durable_files import locked


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


def prepared_folder(source: Path) -> Path:
    """Where the converted columns of a metadata file are: beside it."""
    return source.with_name(f"{source.name}.prepared")


class ClipTable:
    """All well-formed rows of a metadata file, in its order; a row's index is its identity.

    Columns of n rows: video (n,) int32 into `video_uids`; narration_time_s, start_s, end_s (n,)
    float64; verbs and nouns, Csr of uint16 by row; texts, Csr of UTF-8 bytes by row. Indices:
    scenes; rows_of_verb and rows_of_noun, Csr of rows by tag. Nothing is read before it is asked
    for, and nothing is copied: forked workers share the pages, others open them again.
    """

    def __init__(self, source: Path, folder: Path, manifest: Manifest) -> None:
        """Opens a converted folder as it is; see `open`."""
        self.path = source
        self.folder = folder
        self.manifest = manifest
        self.verb_classes = manifest.verb_classes
        """1 + the highest verb id, at least 1."""
        self.noun_classes = manifest.noun_classes

    @classmethod
    def open(
        cls, path: str | Path, strict: bool = False, progress: bool = False, anew: bool = False
    ) -> "ClipTable":
        """Open a metadata file, which is converted first where that has not been done.

        The converted columns are in `{path}.prepared` and are used again as long as they fit the
        file. Processes that ask at the same time wait for the one that converts. Malformed rows
        are left out and listed in `malformed`; a negative clip_start becomes 0; rows are lines: a
        stray quote in one never swallows the next.

        Args:
            path: tab-separated, with a header that names at least `COLUMNS`.
            strict: a malformed row is an error.
            progress: show a bar while converting.
            anew: convert even where that has been done.

        Raises:
            MetadataError: not a file, no such column, no usable row, (strict) a malformed row, or
                the converted columns cannot be written.
        """
        path = Path(path)
        folder = prepared_folder(path)
        try:
            with path.open("rb"):
                pass
            manifest = _prepare(path, folder, progress, anew)
        except OSError as error:
            reason = error.strerror or str(error)
            raise MetadataError(f"data.metadata = {str(path)!r}: {reason}") from None
        table = cls(path, folder, manifest)
        if strict and table.malformed:
            first = table.malformed[0]
            raise MetadataError(f"{path}, line {first.line}: {first.reason}")
        return table

    def __reduce__(self) -> tuple[type, tuple[Path, Path, Manifest]]:
        return type(self), (self.path, self.folder, self.manifest)

    def __len__(self) -> int:
        return self.manifest.rows

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

    @cached_property
    def malformed(self) -> tuple[MalformedRow, ...]:
        """Rows that were left out; `manifest.malformed_rows` counts those not listed as well."""
        _, *lines = (self.folder / MALFORMED).read_text(encoding="utf-8").split("\n")
        cells = (line.split("\t", 1) for line in lines if line)
        return tuple(MalformedRow(int(line), reason) for line, reason in cells)

    @cached_property
    def video_uids(self) -> tuple[str, ...]:
        return tuple(json.loads((self.folder / VIDEO_UIDS).read_text(encoding="utf-8")))

    @cached_property
    def video(self) -> NDArray[np.int32]:
        return self._numbers("video")

    @cached_property
    def narration_time_s(self) -> NDArray[np.float64]:
        return self._numbers("narration_time_s")

    @cached_property
    def start_s(self) -> NDArray[np.float64]:
        return self._numbers("start_s")

    @cached_property
    def end_s(self) -> NDArray[np.float64]:
        return self._numbers("end_s")

    @cached_property
    def texts(self) -> Csr:
        _, offsets, values = self._column("text").buffers()
        texts = np.frombuffer(values, np.uint8) if values else np.empty(0, np.uint8)
        return Csr(texts, np.frombuffer(offsets, np.int64))

    @cached_property
    def verbs(self) -> Csr:
        return self._lists("verbs")

    @cached_property
    def nouns(self) -> Csr:
        return self._lists("nouns")

    @cached_property
    def scenes(self) -> Scenes:
        return Scenes.open(self.folder)

    @cached_property
    def rows_of_verb(self) -> Csr:
        return Csr.open(self.folder, "verbs")

    @cached_property
    def rows_of_noun(self) -> Csr:
        return Csr.open(self.folder, "nouns")

    @cached_property
    def _clips(self) -> pa.RecordBatch:
        return pa.ipc.open_file(pa.memory_map(str(self.folder / CLIPS))).get_batch(0)

    def _column(self, name: str) -> pa.Array:
        return self._clips.column(self._clips.schema.get_field_index(name))

    def _numbers(self, name: str) -> NDArray:
        return self._column(name).to_numpy(zero_copy_only=True)

    def _lists(self, name: str) -> Csr:
        lists = self._column(name)
        return Csr(lists.values.to_numpy(), lists.offsets.to_numpy())


def _prepare(source: Path, folder: Path, progress: bool, anew: bool) -> Manifest:
    """The manifest of the folder, which is made first where it does not fit the file as it is now:
    by whoever comes first; the others wait and find it done."""
    is_writable = os.access(folder.parent, os.W_OK | os.X_OK)
    manifest = None if anew else Manifest.read(folder)
    # What has another time of change is compared by content, by one process for all.
    if manifest and manifest.fits(source, folder, by_content=not is_writable):
        return manifest
    if not is_writable:
        raise cannot_write(folder, PermissionError(None, "no permission"))
    try:
        with locked(folder.with_name(f"{folder.name}.lock")):
            manifest = None if anew else Manifest.read(folder)
            if not manifest or not manifest.fits(source, folder, by_content=True):
                return convert(source, folder, progress)
            mtime_ns = source.stat().st_mtime_ns
            if mtime_ns != manifest.source_mtime_ns and os.access(folder, os.W_OK):
                manifest = replace(manifest, source_mtime_ns=mtime_ns)
                manifest.write(folder)
            return manifest
    except OSError as error:
        raise cannot_write(folder, error) from None
