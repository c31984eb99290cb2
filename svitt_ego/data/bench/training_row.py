"""How long a training run waited for its data."""

from pathlib import Path

from svitt_ego.data.bench.results import BenchRow
from svitt_ego.durable_files import read_json_lines

_WARM_UP_STEPS = 2
"""After a start the loader's workers have nothing ready."""


def loader_wait(run: Path) -> list[BenchRow]:
    """The share of the step time, of the records of a run; [] where there is none."""
    records = read_json_lines(run / "records.jsonl")
    launches = [launch["first_step"] for launch in read_json_lines(run / "launches.jsonl")]
    warm_up = {first + step for first in launches for step in range(1, _WARM_UP_STEPS + 1)}
    steady = [record for record in records if record["step"] not in warm_up]
    if not steady:
        return []
    waited_s, all_s = (sum(r[key] for r in steady) for key in ("data_s", "step_s"))
    return [BenchRow(f"loader wait of a step, {run}", 100 * waited_s / all_s, "%")]
