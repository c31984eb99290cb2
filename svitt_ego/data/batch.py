"""What travels from the loader to the model."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fault:
    """A clip that could not be read and was replaced."""

    path: str
    cause: str
    """Short and countable: `missing`, `corrupt`, `past the end` …"""


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one rank: N anchors, then their N scene-aware negatives if the recipe
    asks for them; M = N or 2N clips with their narrations.

    Shapes: video (M, T, 3, H, W) uint8; text_ids, text_mask (M, L) int64, L the longest text of
    the batch; verb_tags (M, verb classes) and noun_tags (M, noun classes) bool; rows (M,) int64,
    the clips' rows in the metadata.
    """

    video: Tensor
    text_ids: Tensor
    text_mask: Tensor
    verb_tags: Tensor
    noun_tags: Tensor
    rows: Tensor
    anchors: int
    """N"""
    random_negatives: int = 0
    """Anchors whose negative is any clip, as their video has no readable other action."""
    faults: tuple[Fault, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """Asynchronous for a batch in pinned memory."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """In page-locked memory; `DataLoader` calls it where its own `pin_memory` is set."""
        return self._map(Tensor.pin_memory)

    def tensors(self) -> list[Tensor]:
        values = (getattr(self, f.name) for f in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **{name: function(tensor) for name, tensor in tensors.items()})
