"""What travels from the loader to the model."""

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
    faults: tuple[Fault, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in tensors.items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)
