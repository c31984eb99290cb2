"""Files with one JSON object per line, files that are whole or not there, and locks."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines, [] where there is no file. A last line that a killed process left
    unfinished is ignored.

    Raises:
        ConfigError: another line is not a JSON object.
    """
    if not path.is_file():
        return []
    records = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except ValueError as error:  # of JSON, or of UTF-8
            if number == len(lines):
                break
            reason = getattr(error, "msg", "not UTF-8")
            raise ConfigError(f"{path}: line {number}: not valid JSON: {reason}") from None
        if not isinstance(record, dict):
            raise ConfigError(f"{path}: line {number}: not a JSON object")
        records.append(record)
    return records


def prepare_folder_of(path: Path) -> None:
    """Make sure, before long work, that `write_atomically` will be able to write its result.

    Raises:
        ConfigError: the path is a directory, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a directory: give the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path.parent}: cannot be made: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{path.parent}: cannot be written to")


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old text or the new one, never a part."""
    staging = path.with_name(f"{path.name}.partial")
    with staging.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staging, path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder, a file made where there is none; wait for whoever has it.

    Freed by the operating system when the process ends, however it ends.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def flush_to_disk(path: Path) -> None:
    """Of a file its content, of a folder its list of names: there after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
