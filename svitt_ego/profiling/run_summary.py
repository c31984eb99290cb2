"""What a report shows of a training run, read from the files it left. Missing fields are missing
pictures, not errors."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.durable_files import read_json_lines


@dataclass(frozen=True)
class TrainedRun:
    name: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    """Lines of records.jsonl."""
    zero_stage: int | None = None
    launch: dict[str, Any] = field(default_factory=dict)
    """The newest line of launches.jsonl."""
    egomcq: dict[str, Any] | None = None
    """`inter`, `intra` in percent or None, `questions` by kind."""

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of one field, where it is a number."""
        points = [
            (record["step"], record[key])
            for record in self.records
            if isinstance(record.get(key), (int, float)) and "step" in record
        ]
        return [float(step) for step, _ in points], [float(value) for _, value in points]


def read_run(run_dir: Path | None, egomcq: Path | None = None) -> TrainedRun:
    """Read a run directory, an EgoMCQ result, or both.

    Raises:
        ConfigError: a file that was asked for is missing or not what it should be; one line.
    """
    result = _read_json(egomcq) if egomcq else None
    if result is not None and not {"inter", "intra"} <= result.keys():
        raise ConfigError(f"{egomcq}: no inter and intra: not of launch/evaluate_egomcq.py")
    if run_dir is None:
        return TrainedRun(egomcq=result)
    records_file = run_dir / "records.jsonl"
    if not records_file.is_file():
        raise ConfigError(f"{run_dir}: not a training run: it has no records.jsonl")
    records = read_json_lines(records_file)
    if not records:
        raise ConfigError(f"{records_file}: no records yet: has the run taken a step?")
    deepspeed_file = run_dir / "deepspeed.json"
    deepspeed = _read_json(deepspeed_file) if deepspeed_file.is_file() else {}
    launches = read_json_lines(run_dir / "launches.jsonl")
    return TrainedRun(
        name=run_dir.resolve().name,
        records=records,
        zero_stage=deepspeed.get("zero_optimization", {}).get("stage"),
        launch=launches[-1] if launches else {},
        egomcq=result,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON: {error.msg}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold a JSON object")
    return content
