"""What a folder of converted metadata was made from, and what is in it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from svitt_ego.durable_files import write_atomically

FORMAT_VERSION = 2
"""Raise when the same file would be converted to something else than before."""

MANIFEST = "manifest.json"
_HASHED_AT_ONCE_BYTES = 1 << 22


@dataclass(frozen=True)
class FileMark:
    """By which a file is known again."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Written last: a folder that has one is whole."""

    source: FileMark
    source_mtime_ns: int
    rows: int
    malformed_rows: int
    malformed_reasons: dict[str, int]
    """Rows by what is wrong with them; the cells' contents are left out."""
    verb_classes: int
    noun_classes: int
    files: dict[str, FileMark]
    """Of the folder, but for this one."""
    format_version: int = FORMAT_VERSION

    def write(self, folder: Path) -> None:
        write_atomically(folder / MANIFEST, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """None: there is none, or it is of another version or not readable."""
        try:
            tree = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if tree["format_version"] != FORMAT_VERSION:
                return None
            tree["source"] = FileMark(**tree["source"])
            tree["files"] = {name: FileMark(**mark) for name, mark in tree["files"].items()}
            return cls(**tree)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def fits(self, source: Path, folder: Path, by_content: bool) -> bool:
        """Whether the folder is whole and was made from `source` as it is now.

        Args:
            by_content: a file of the same size and another time of change is read and compared;
                else it does not fit.
        """
        status = source.stat()
        if status.st_size != self.source.size_bytes:
            return False
        if status.st_mtime_ns != self.source_mtime_ns and (
            not by_content or mark_of(source) != self.source
        ):
            return False
        return all(
            (folder / name).is_file() and (folder / name).stat().st_size == mark.size_bytes
            for name, mark in self.files.items()
        )

    def damaged(self, folder: Path) -> list[str]:
        """The files whose content is not what was written."""
        return [
            name
            for name, mark in self.files.items()
            if not (folder / name).is_file() or mark_of(folder / name) != mark
        ]


def mark_of(path: Path) -> FileMark:
    """Reads the whole file."""
    digest = hashlib.sha256()
    size_bytes = 0
    with path.open("rb") as file:
        while piece := file.read(_HASHED_AT_ONCE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
    return FileMark(size_bytes, digest.hexdigest())
