"""The points of the pyramid, and which of them answer for a window.

P: points of all levels, level after level; B: queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """All (P,), in steps of the features."""

    step: Tensor
    """Where the point is."""
    stride: Tensor
    """Of its level."""
    nearest: Tensor
    farthest: Tensor
    """Between these lies the farther end of a window that the point answers for."""

    def spans(self, distances: Tensor) -> Tensor:
        """Distances to start and end in strides, (…, P, 2), as starts and ends in steps."""
        away = distances * self.stride[:, None]
        return torch.stack([self.step - away[..., 0], self.step + away[..., 1]], dim=-1)


def level_lengths(length: int, levels: int) -> list[int]:
    """Positions of each level: each has half of the one below, rounded up."""
    return [-(-length // 2**level) for level in range(levels)]


def pyramid_points(
    length: int, ranges: Sequence[tuple[float, float]], device: torch.device | None = None
) -> Points:
    """
    Args:
        length: positions of the lowest level.
        ranges: nearest and farthest of each level.
    """
    parts = []
    for level, positions in enumerate(level_lengths(length, len(ranges))):
        step = torch.arange(positions, device=device, dtype=torch.float32) * 2**level
        parts.append([step, *(torch.full_like(step, x) for x in (2**level, *ranges[level]))])
    return Points(*(torch.cat(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Targets:
    positive: Tensor
    """(B, P) bool: the point answers for the query's window."""
    distances: Tensor
    """(B, P, 2) to its start and end, in strides of the point."""


def assign(points: Points, spans: Tensor, centre_radius: float) -> Targets:
    """Points inside a window, near its centre, and on the level for its length.

    ActionFormer's rule for one window a query: the point lies within `centre_radius` strides of
    the centre, and its distance to the farther end within the level's range.

    Args:
        spans: (B, 2) in steps.
    """
    to_start = points.step - spans[:, :1]
    to_end = spans[:, 1:] - points.step
    distances = torch.stack([to_start, to_end], dim=-1)
    inside = (to_start > 0) & (to_end > 0)
    from_centre = (points.step - spans.mean(1, keepdim=True)).abs()
    near_centre = from_centre < centre_radius * points.stride
    farther = distances.amax(-1)
    on_level = (farther >= points.nearest) & (farther <= points.farthest)
    return Targets(inside & near_centre & on_level, distances / points.stride[:, None])
