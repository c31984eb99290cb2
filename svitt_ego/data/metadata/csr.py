"""Groups of rows as two arrays: compressed sparse rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Csr:
    """Group g is ``values[offsets[g] : offsets[g + 1]]``."""

    values: NDArray
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, group: int) -> NDArray:
        return self.values[self.offsets[group] : self.offsets[group + 1]]

    def save(self, folder: Path, name: str) -> None:
        """As {name}.values.npy and {name}.offsets.npy."""
        np.save(folder / f"{name}.values.npy", self.values)
        np.save(folder / f"{name}.offsets.npy", self.offsets)

    @classmethod
    def open(cls, folder: Path, name: str) -> "Csr":
        """By memory map."""
        return cls(
            map_array(folder / f"{name}.values.npy"), map_array(folder / f"{name}.offsets.npy")
        )


def map_array(path: Path) -> NDArray:
    """A .npy file by memory map, as a plain array: np.memmap's own indexing is slow."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def rows_by_tag(tags: Csr, classes: int) -> Csr:
    """The rows that have each tag, rising; a tag that a row repeats counts once."""
    rows = np.repeat(np.arange(len(tags), dtype=np.int32), np.diff(tags.offsets))
    keys = np.unique(tags.values.astype(np.int64) * len(tags) + rows)  # by tag, then by row
    counts = np.bincount(keys // len(tags), minlength=classes)
    return Csr((keys % len(tags)).astype(np.int32), offsets_of(counts))


def offsets_of(counts: NDArray) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
