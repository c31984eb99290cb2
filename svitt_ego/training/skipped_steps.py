"""Steps that were left out because a loss or a gradient was not finite."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.training.records import RecordWriter
from svitt_ego.training.step import RankStep


class TooManySkippedSteps(ConfigError):
    """Training has stopped learning."""


class SkippedSteps:
    """Counts them and, on rank 0, notes in skipped.jsonl what was in them."""

    def __init__(self, path: Path, allowed_in_a_row: int) -> None:
        self.path = path
        self.allowed_in_a_row = allowed_in_a_row
        self.in_a_row = 0

    def note(self, step: int, own: RankStep, of_ranks: Sequence[RankStep], scale: Any) -> None:
        """All ranks call it with their own step, rank 0 with everyone's.

        Raises:
            TooManySkippedSteps: on all ranks; `optimisation.max_skipped_steps` in a row.
        """
        if own.applied:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        if of_ranks:
            self._write(step, of_ranks, scale)
        if self.in_a_row >= self.allowed_in_a_row:
            raise TooManySkippedSteps(
                f"{self.in_a_row} steps in a row up to step {step} had a loss or gradient that is "
                f"not finite (optimisation.max_skipped_steps); their samples' rows in the data "
                f"are in {self.path}: look at these, lower the learning rate, or clip gradients"
            )

    def _write(self, step: int, of_ranks: Sequence[RankStep], scale: Any) -> None:
        writer = RecordWriter(self.path)
        for rank in of_ranks:
            losses = {name: str(loss) for name, loss in rank.losses.items() if loss is not None}
            entry = {"step": step, "rank": rank.rank, "loss_scale": scale, "losses": losses}
            writer.write(entry | {"rows": list(rank.rows)})
        writer.close()
