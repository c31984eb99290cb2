"""Ways to go on with fewer patch tokens: one call, whichever the recipe's `strategy`.

cls_attention  those that [CLS] attends to most go on (SViTT)
random         any do: the opponent that a choice must beat
fuse           as cls_attention, but the last of them becomes the average of itself and of all that
               are dropped, weighted with their attention (after EViT, Liang et al., ICLR 2022)
merge          like tokens are averaged (ToMe, Bolya et al., ICLR 2023)

Each leaves exactly `keep` tokens, each at the position of one that was there, so that position
biases and block patterns are the same for all. What choosing costs is not counted as needed
operations; merging compares all pairs of tokens, which grows with the square of their number.

R: rows that come out; V: videos; N: patch tokens; K: kept patch tokens; D: width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from svitt_ego.config.schema import NodeStrategy
from svitt_ego.models.token_drop import compose, keep_tokens, select_tokens

_EVALUATION_SEED = 0

SCORED: frozenset[NodeStrategy] = frozenset({"cls_attention", "fuse"})
"""Strategies that need the scores of [CLS]; the others choose the same tokens of a video for all
the texts that look at it."""


@dataclass(frozen=True)
class Reduction:
    """tokens: (R, 1 + K, D), [CLS] first; kept: (R, K) int64, rising, the place each had before, or
    for one that stands for several, the place of one of them."""

    tokens: Tensor
    kept: Tensor
    source_index: Tensor | None = None
    """As `reduce_tokens` was given it, None where every row now has tokens of its own."""
    sizes: Tensor | None = None
    """(R, K): how many patches each token stands for; None: one each."""


def reduce_tokens(
    strategy: NodeStrategy,
    x: Tensor,
    keep: int,
    *,
    cls_scores: Tensor | None = None,
    source_index: Tensor | None = None,
    sizes: Tensor | None = None,
    training: bool = False,
) -> Reduction:
    """From 1 + N tokens to 1 + `keep`; [CLS] always stays. No gradient flows through the choice.

    Args:
        x: (V, 1 + N, D).
        cls_scores: (R, N), needed by the strategies of `SCORED`.
        source_index: (R,) int64, whose tokens row i looks at; None: those of row i.
        sizes: (V, N) of the reduction before; None: one each.
        training: `random` draws for each video from torch's generator, which the task seeds; in
            evaluation it takes the same places for all.
    """
    if strategy in SCORED:
        assert cls_scores is not None
        kept = select_tokens(cls_scores, keep)
        tokens = keep_tokens(x, kept, source_index)
        if strategy == "fuse":
            tokens = _fuse(tokens, x, kept, cls_scores, source_index)
        return Reduction(tokens, kept)
    if strategy == "random":
        kept = select_tokens(_random_scores(x, training), keep)
        return Reduction(keep_tokens(x, kept), kept, source_index)
    tokens, kept, sizes = _merge(x, keep, sizes)
    return Reduction(tokens, kept, source_index, sizes)


def _random_scores(x: Tensor, training: bool) -> Tensor:
    videos, patches = x.shape[0], x.shape[1] - 1
    if training:
        return torch.rand(videos, patches, device=x.device)
    fixed = torch.Generator().manual_seed(_EVALUATION_SEED)  # the same on every device
    return torch.rand(1, patches, generator=fixed).to(x.device).expand(videos, -1)


def _fuse(
    tokens: Tensor, x: Tensor, kept: Tensor, cls_scores: Tensor, source_index: Tensor | None
) -> Tensor:
    """In place of the kept token of the lowest score the average of it and the dropped ones.

    EViT adds their sum, weighted with attention that does not sum to 1, as one token more; an
    average stays in the range of the tokens it stands for, and counts stay as they are.
    """
    with torch.no_grad():
        last = cls_scores.gather(1, kept).argmin(dim=1, keepdim=True)
        place = kept.gather(1, last)
        averaged = torch.ones_like(cls_scores).scatter(1, kept, 0.0).scatter(1, place, 1.0)
        # where none is attended to, all count alike
        weights = (cls_scores + torch.finfo(cls_scores.dtype).tiny) * averaged
        weights = F.pad(weights / weights.sum(dim=1, keepdim=True), (1, 0)).to(x.dtype)
        is_last = torch.arange(tokens.shape[1], device=x.device) == 1 + last
    if source_index is not None:
        x = x.index_select(0, source_index)
    return torch.where(is_last[..., None], weights[:, None] @ x, tokens)


def _merge(x: Tensor, keep: int, sizes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (V, 1 + K, D), places (V, K) and sizes (V, K) after ToMe's bipartite matching.

    A round merges half of the tokens at most, so a low keep rate takes several. ToMe compares keys;
    here the tokens themselves are compared, and attention is not weighted with the sizes.
    """
    if sizes is None:
        sizes = x.new_ones(x.shape[0], x.shape[1] - 1, dtype=torch.float32)
    kept = [torch.arange(sizes.shape[1], device=x.device).expand(len(x), -1)]
    while sizes.shape[1] > keep:
        present = sizes.shape[1]
        places, into = _match(x[:, 1:], min(present - keep, present // 2))
        x, sizes = _averages(x, sizes, places, into)
        kept.append(places)
    return x, compose(kept), sizes


@torch.no_grad()
def _match(patches: Tensor, merges: int) -> tuple[Tensor, Tensor]:
    """Each token at an even place proposes to the most like one at an odd place, and the `merges`
    best proposals are accepted: (V, N, D) -> places that stay (V, N - merges), rising, and for
    every token the place that it goes into (V, N)."""
    directions = F.normalize(patches.float(), dim=-1)
    likeness, best = (directions[:, ::2] @ directions[:, 1::2].mT).max(dim=-1)
    merged = likeness.topk(merges, dim=1).indices
    into = torch.arange(patches.shape[1], device=patches.device).repeat(len(patches), 1)
    into.scatter_(1, 2 * merged, 2 * best.gather(1, merged) + 1)
    stays = torch.ones_like(into, dtype=torch.float32).scatter_(1, 2 * merged, 0.0)
    return select_tokens(stays, patches.shape[1] - merges), into


def _averages(x: Tensor, sizes: Tensor, places: Tensor, into: Tensor) -> tuple[Tensor, Tensor]:
    """Averages of what goes into each place, weighted with sizes: (V, 1 + K, D), (V, K)."""
    new_sizes = torch.zeros_like(sizes).scatter_add_(1, into, sizes)
    weights = (sizes / new_sizes.gather(1, into))[..., None].to(x.dtype)
    target = into[..., None].expand(-1, -1, x.shape[2])
    averages = torch.zeros_like(x[:, 1:]).scatter_add(1, target, x[:, 1:] * weights)
    return (
        keep_tokens(torch.cat([x[:, :1], averages], dim=1), places),
        new_sizes.gather(1, places),
    )
