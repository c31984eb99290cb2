"""Clips known to be unreadable: written by `launch/check_data.py`, taken by the loader.

A text file: a line that names the metadata, then a row of it per line.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata import ClipTable
from svitt_ego.durable_files import write_atomically

_HEADER = "# unreadable rows of the metadata with sha256 "
_MEND = "make it anew with launch/check_data.py"


def write_skip_list(path: Path, table: ClipTable, rows: Iterable[int]) -> None:
    """Rows rising, each once."""
    lines = [f"{_HEADER}{table.manifest.source.sha256}", *map(str, sorted(set(rows)))]
    write_atomically(path, "\n".join(lines) + "\n")


def read_skip_list(path: str | Path, table: ClipTable) -> NDArray[np.bool_]:
    """(rows of the table,) bool.

    Raises:
        ConfigError: not a skip list, one of other metadata, or leaves under two clips.
    """
    key = f"data.skip_list = {str(path)!r}"
    try:
        header, *lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{key}: {error.strerror or error}") from None
    except ValueError:
        raise ConfigError(f"{key}: is not a skip list; {_MEND}") from None
    if not header.startswith(_HEADER):
        raise ConfigError(f"{key}: line 1 does not begin with {_HEADER.strip()!r}; {_MEND}")
    if header.removeprefix(_HEADER) != table.manifest.source.sha256:
        raise ConfigError(f"{key}: was made for another file than {table.path}; {_MEND}")
    is_skipped = np.zeros(len(table), bool)
    for number, line in enumerate(lines, start=2):
        if not re.fullmatch(r"[0-9]+", line) or int(line) >= len(table):
            raise ConfigError(f"{key}: line {number}: {line!r} is no row; {_MEND}")
        is_skipped[int(line)] = True
    if len(table) - is_skipped.sum() < 2:
        raise ConfigError(f"{key}: leaves fewer than two clips of {table.path}")
    return is_skipped
