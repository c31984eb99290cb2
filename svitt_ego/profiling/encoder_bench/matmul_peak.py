"""What the machine reaches in a plain matrix product, against which utilisation is measured."""

import statistics
import time

import torch
from torch.nn import functional as F

from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.encoder_bench.flops import clips_of

SQUARE = 2048


class MatmulPeak:
    """Two products, timed again and again between the steps: a square one, and the first linear
    layer of the video encoder's MLP over all tokens of a batch."""

    def __init__(self, recipe: Recipe, dtype: torch.dtype, square: int = SQUARE) -> None:
        video = recipe.model.video
        tokens = clips_of(recipe) * (1 + recipe.data.frames * video.patches_per_frame)
        shapes = [(square, square, square), (tokens, video.width, video.mlp_width)]
        self._factors = [
            (torch.rand(rows, inner, dtype=dtype), torch.rand(columns, inner, dtype=dtype))
            for rows, inner, columns in shapes
        ]
        self._flops = [2 * rows * inner * columns for rows, inner, columns in shapes]
        self._times_s: list[list[float]] = [[] for _ in shapes]

    def time_once(self) -> None:
        for (x, weight), times_s in zip(self._factors, self._times_s, strict=True):
            started = time.perf_counter()
            F.linear(x, weight)
            times_s.append(time.perf_counter() - started)

    def forget(self) -> None:
        """What was timed so far was warming up."""
        for times_s in self._times_s:
            times_s.clear()

    @property
    def flops_per_s(self) -> float:
        """Of the better product, by its median time."""
        medians_s = [statistics.median(times_s) for times_s in self._times_s]
        return max(f / s for f, s in zip(self._flops, medians_s, strict=True))
