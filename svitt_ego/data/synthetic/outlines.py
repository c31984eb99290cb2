"""Groups of polygons kept as one point array, so that a pose moves them all in one product."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from svitt_ego.data.synthetic.shapes import Part, Shape


class Outline:
    """Polygons in drawing order: points (N, 2) of all, the slice and the tone of each."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.points = np.concatenate([part.points for part in parts])
        ends = np.cumsum([len(part.points) for part in parts]).tolist()
        self.slices = tuple(slice(first, last) for first, last in pairwise([0, *ends]))
        self.tones = tuple(part.tone for part in parts)


class ObjectOutline:
    """An object's body and lid, and its two halves once it is cut."""

    def __init__(self, shape: Shape) -> None:
        self._lid = shape.lid
        self._body = Outline([part for part in shape.parts if not part.lid])
        self._whole = Outline(sorted(shape.parts, key=lambda part: part.lid))
        halves = [
            (Part(half, part.tone), side)
            for side in (-1, 1)
            for part in shape.parts
            if len(half := _half(part.points, side)) >= 3
        ]
        self._halves = Outline([part for part, _ in halves])
        self._sides = np.concatenate([np.full(len(part.points), side) for part, side in halves])
        self.spout = np.array(shape.spout)

    def at(self, lid_openness: float, split: float) -> tuple[np.ndarray, Outline]:
        """Points (N, 2) in unit coordinates and the outline they belong to."""
        if split > 0:
            points = self._halves.points.copy()
            points[:, 0] += 0.5 * split * self._sides
            return points, self._halves
        if self._lid is None:
            return self._whole.points, self._whole
        points = self._whole.points.copy()
        first = len(self._body.points)
        points[first:] = self._lid.move(points[first:], lid_openness)
        return points, self._whole


def _half(points: np.ndarray, side: int) -> np.ndarray:
    """The part of a polygon left (side -1) or right (+1) of x = 0, clipped edge by edge."""
    kept = []
    for here, following in zip(points, np.roll(points, -1, axis=0), strict=True):
        if here[0] * side >= 0:
            kept.append(here)
        if here[0] * following[0] < 0:
            kept.append(here + (following - here) * here[0] / (here[0] - following[0]))
    return np.array(kept).reshape(-1, 2)
