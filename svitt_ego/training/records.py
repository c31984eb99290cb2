"""One JSON object per step in records.jsonl: what everything that looks at a run reads."""

import json
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.training.run_directory import write_atomically


class RecordWriter:
    """Appends records; each line is on its way to the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        self._file.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """All whole records; a last line that a killed run left unfinished is ignored.

    Raises:
        ConfigError: a line before the last is not JSON.
    """
    if not path.is_file():
        return []
    records = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ConfigError(f"{path}: line {number}: not valid JSON: {error.msg}") from None
    return records


def forget_after(path: Path, step: int) -> int:
    """Remove the records of steps after `step`, which were lost with an interruption and will be
    taken again. Returns how many."""
    records = read_records(path)
    kept = [record for record in records if record["step"] <= step]
    if path.is_file():
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept))
    return len(records) - len(kept)
