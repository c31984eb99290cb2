"""One JSON object per step in records.jsonl: what everything that looks at a run reads."""

import json
from pathlib import Path
from typing import Any

from svitt_ego.durable_files import read_json_lines, write_atomically


class RecordWriter:
    """Appends records; each line has left the process when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, allow_nan=False) + "\n")

    def close(self) -> None:
        self._file.close()


def forget_after(path: Path, step: int) -> int:
    """Remove the records of steps after `step`, which were lost with an interruption and will be
    taken again. Returns how many."""
    records = read_json_lines(path)
    kept = [record for record in records if record["step"] <= step]
    if path.is_file():  # also where only a torn last line must go, which the next would be glued to
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept))
    return len(records) - len(kept)
