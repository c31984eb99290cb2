"""Records to TensorBoard, or whatever else DeepSpeed's monitor is set up for."""

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger("svitt_ego")

_NAMES = {
    "loss": "loss/total",
    "learning_rate": "optimisation/learning_rate",
    "gradient_norm": "optimisation/gradient_norm",
    "loss_scale": "optimisation/loss_scale",
    "samples_per_s": "speed/samples_per_s",
    "data_s": "speed/data_s",
    "peak_bytes": "memory/peak_bytes",
}


class Monitor:
    def __init__(self, engine: Any, losses: Sequence[str], figures: Sequence[str]) -> None:
        """
        Args:
            losses: names of the task's losses in a record, `loss` itself aside.
            figures: names of its model's.
        """
        of_losses = {name: f"loss/{name.removeprefix('loss_')}" for name in losses}
        self._names = of_losses | _NAMES | {name: f"model/{name}" for name in figures}
        self._monitor = engine.monitor
        self._enabled = bool(engine.monitor.enabled)

    def write(self, record: dict[str, Any]) -> None:
        """A full disk ends the monitoring, not the training."""
        if not self._enabled:
            return
        events = [
            (name, record[key], record["step"])
            for key, name in self._names.items()
            if record.get(key) is not None
        ]
        try:
            self._monitor.write_events(events)
        except OSError as error:
            self._enabled = False
            log.warning("monitoring ends here: %s", error)
