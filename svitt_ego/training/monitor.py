"""Records to TensorBoard, or whatever else DeepSpeed's monitor is set up for."""

import logging
from typing import Any

log = logging.getLogger("svitt_ego")

_NAMES = {
    "loss": "loss/total",
    "loss_contrastive": "loss/contrastive",
    "loss_vtm": "loss/vtm",
    "loss_mlm": "loss/mlm",
    "learning_rate": "optimisation/learning_rate",
    "gradient_norm": "optimisation/gradient_norm",
    "loss_scale": "optimisation/loss_scale",
    "temperature": "optimisation/temperature",
    "samples_per_s": "speed/samples_per_s",
    "data_s": "speed/data_s",
    "peak_bytes": "memory/peak_bytes",
}


class Monitor:
    def __init__(self, engine: Any) -> None:
        self._monitor = engine.monitor
        self._enabled = bool(engine.monitor.enabled)

    def write(self, record: dict[str, Any]) -> None:
        """A full disk ends the monitoring, not the training."""
        if not self._enabled:
            return
        events = [
            (name, record[key], record["step"])
            for key, name in _NAMES.items()
            if record.get(key) is not None
        ]
        try:
            self._monitor.write_events(events)
        except OSError as error:
            self._enabled = False
            log.warning("monitoring ends here: %s", error)
