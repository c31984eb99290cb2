"""The heads that all levels of the pyramid share.

B: rows; T: positions of a level; P: of all levels; D: width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.grounding.masked_conv import MaskedConv

PRIOR = 0.01
"""Probability that an untrained classifier gives every point: few points are positive, and without
it the first steps would be spent on learning that (Lin et al., 2017, section 3.3)."""


class ConvHead(nn.Module):
    """Convolutions along time, each but the last with LayerNorm and ReLU."""

    def __init__(self, width: int, outputs: int, layers: int, kernel: int = 3) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            MaskedConv(width, width, kernel, bias=False) for _ in range(layers - 1)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers - 1))
        self.output = MaskedConv(width, outputs, kernel)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T, outputs)."""
        for conv, norm in zip(self.hidden, self.norms, strict=True):
            x = F.relu(norm(conv(x, mask))) * mask[..., None]
        return self.output(x, mask)


class PointHeads(nn.Module):
    """For every point: does it answer the query, and how far away are the window's ends?"""

    def __init__(self, width: int, levels: int, layers: int) -> None:
        super().__init__()
        self.classification = ConvHead(width, 1, layers)
        nn.init.constant_(self.classification.output.conv.bias, -math.log((1 - PRIOR) / PRIOR))
        self.regression = ConvHead(width, 2, layers)
        self.level_scale = nn.Parameter(torch.ones(levels))

    def forward(self, levels: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Levels (B, T, D) and masks (B, T) -> logits (B, P), and distances (B, P, 2), 0 or more,
        in strides of the point."""
        logits, distances = [], []
        for x, mask, scale in zip(levels, masks, self.level_scale, strict=True):
            logits.append(self.classification(x, mask)[..., 0])
            distances.append(F.relu(scale * self.regression(x, mask)))
        return torch.cat(logits, dim=1), torch.cat(distances, dim=1)
