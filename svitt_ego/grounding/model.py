"""What every grounding model is: batch in, outputs; outputs in, losses or predictions.

B: rows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from svitt_ego.config.grounding import Decoding
from svitt_ego.grounding.batch import GroundingBatch


@dataclass(frozen=True)
class GroundingLosses:
    """Scalars; `parts` by name add up to the total."""

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Predictions:
    """For one query, best first."""

    windows_s: Tensor
    """(k, 2) start and end in seconds of the clip, within it."""
    scores: Tensor
    """(k,)."""


class Grounder(nn.Module, ABC):
    """A model of a recipe's architecture; `svitt_ego.grounding.build` makes it."""

    loss_names: ClassVar[tuple[str, ...]]
    """Of the parts that `losses` returns, in their order."""

    @abstractmethod
    def forward(self, batch: GroundingBatch) -> Any:
        """What `losses` and `predict` need, a dataclass of the model's own."""

    @abstractmethod
    def losses(self, outputs: Any, batch: GroundingBatch) -> GroundingLosses:
        """Of a batch whose spans are known."""

    def figures(self) -> dict[str, float]:
        """Of the model's state, for the record of a training step."""
        return {}

    @abstractmethod
    def predict(self, outputs: Any, batch: GroundingBatch, decoding: Decoding) -> list[Predictions]:
        """One for each row."""


def in_seconds(spans: Tensor, scores: Tensor, batch: GroundingBatch, row: int) -> Predictions:
    """Spans (k, 2) in steps of the features, as seconds within the clip of a row."""
    seconds = batch.grid.to_seconds(spans).clamp(min=0)
    return Predictions(seconds.minimum(batch.durations_s[row].to(seconds)), scores)
