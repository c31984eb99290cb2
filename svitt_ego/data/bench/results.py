"""Rows of the benchmark, as JSON and as a table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from svitt_ego.durable_files import write_atomically


@dataclass(frozen=True)
class BenchRow:
    name: str
    value: float
    unit: str
    peer: float | None = None
    """Of EgoVLP's way or of decord, in the same unit and run."""

    @property
    def ratio(self) -> float | None:
        """How many times as much the peer takes."""
        return None if self.peer is None else self.peer / self.value


def write_rows(path: Path, rows: Sequence[BenchRow]) -> None:
    tree = [
        {"name": r.name, "value": r.value, "unit": r.unit, "peer": r.peer, "ratio": r.ratio}
        for r in rows
    ]
    write_atomically(path, json.dumps(tree, indent=1) + "\n")


def table(rows: Sequence[BenchRow]) -> str:
    """For people; numbers to three digits."""

    def cell(number: float | None) -> str:
        return "" if number is None else f"{number:.3g}" if number < 1000 else f"{number:,.0f}"

    cells = [("", "here", "peer", "unit", "ratio")]
    cells += [(r.name, cell(r.value), cell(r.peer), r.unit, cell(r.ratio)) for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {peer:>{widths[2]}}  {unit:<{widths[3]}}"
        f"  {ratio:>{widths[4]}}".rstrip()
        for name, value, peer, unit, ratio in cells
    )
