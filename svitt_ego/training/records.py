"""One JSON object per step in records.jsonl: what everything that looks at a run reads."""

import json
import logging
from pathlib import Path
from typing import Any

from svitt_ego.durable_files import read_json_lines, write_atomically

log = logging.getLogger("svitt_ego")


class RecordWriter:
    """Appends records; each line has left the process when `write` returns.

    Where the disk is full, lines wait until there is room again: training goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._waiting = b""

    def write(self, record: dict[str, Any]) -> None:
        had_waiting = bool(self._waiting)
        self._waiting += (json.dumps(record, allow_nan=False) + "\n").encode()
        try:
            while self._waiting:
                written = self._file.write(self._waiting)
                self._waiting = self._waiting[written:]
        except OSError as error:
            if not had_waiting:
                log.warning("%s: %s; its lines wait for room", self._path, error.strerror)

    def close(self) -> None:
        if self._waiting:
            log.warning("%s: the last %d bytes were lost", self._path, len(self._waiting))
        self._file.close()


def forget_after(path: Path, step: int) -> int:
    """Remove the records of steps after `step`, which were lost with an interruption and will be
    taken again. Returns how many."""
    records = read_json_lines(path)
    kept = [record for record in records if record["step"] <= step]
    if path.is_file():  # also where only a torn last line must go, which the next would be glued to
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept))
    return len(records) - len(kept)
