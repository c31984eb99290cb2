"""Node sparsity: keep the patch tokens that [CLS] attends to most, and know where they came from.

D: width; N: patch tokens; K: kept patch tokens. Indices carry no gradient.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from svitt_ego.config.schema import NodeSparsity


def keep_count(tokens: int, keep_rate: float) -> int:
    """ceil(keep_rate * tokens), the rate taken as the decimal that was written: 55% of 100
    are 55, not the 56 of binary floats."""
    return math.ceil(Fraction(repr(keep_rate)) * tokens)


def token_counts(node: NodeSparsity | None, layers: int, tokens: int) -> tuple[int, ...]:
    """Patch tokens that enter each of `layers` layers, and, last, that leave the final one."""
    counts = [tokens]
    for layer in range(layers):
        drops = node is not None and layer in node.layers
        counts.append(keep_count(counts[-1], node.keep_rate) if drops else counts[-1])
    return tuple(counts)


@torch.no_grad()
def select_tokens(cls_scores: Tensor, keep: int) -> Tensor:
    """Places of the `keep` highest scores in their original order: (B, N) -> (B, K) int64."""
    return cls_scores.topk(keep, dim=1).indices.sort(dim=1).values


def keep_tokens(x: Tensor, kept: Tensor, source_index: Tensor | None = None) -> Tensor:
    """Gather patch tokens, [CLS] always stays: (V, 1 + N, D), (B, K) -> (B, 1 + K, D).

    `source_index` (B,) int64 says whose tokens row i keeps; None: those of row i. Selecting rows
    of a matrix, unlike `gather`, stores no x for the backward pass.
    """
    with_cls = torch.cat([kept.new_zeros(kept.shape[0], 1), kept + 1], dim=1)
    if source_index is None:
        source_index = torch.arange(len(x), device=x.device)
    rows = source_index[:, None] * x.shape[1] + with_cls
    return x.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, -1)


def compose(kept_per_drop: Sequence[Tensor]) -> Tensor:
    """Original positions of the tokens that survive all drops, each given relative to the one
    before: sequence of (B, K_i) -> (B, K_last)."""
    original = kept_per_drop[0]
    for kept in kept_per_drop[1:]:
        original = original.gather(1, kept)
    return original
