"""How a run has done since its last checkpoint: what `keep_best` judges by."""

from collections.abc import Sequence
from typing import Any


class MeanLosses:
    """Means over steps; a step whose loss is not known does not count."""

    def __init__(self, names: Sequence[str]) -> None:
        """
        Args:
            names: of the losses in a record.
        """
        self._names = names
        self._values: dict[str, list[float]] = {}

    def add(self, record: dict[str, Any]) -> None:
        for name in self._names:
            if record.get(name) is not None:
                self._values.setdefault(name, []).append(record[name])

    def take(self) -> dict[str, float]:
        """The means, by name; counting starts anew."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values = {}
        return means
