"""How a run has done since its last checkpoint: what `keep_best` judges by."""

from typing import Any

METRICS = ("loss", "loss_contrastive", "loss_vtm", "loss_mlm")


class MeanLosses:
    """Means over steps; a step whose loss is not known does not count."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, record: dict[str, Any]) -> None:
        for name in METRICS:
            if record.get(name) is not None:
                self._values.setdefault(name, []).append(record[name])

    def take(self) -> dict[str, float]:
        """The means, by name; counting starts anew."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values = {}
        return means
