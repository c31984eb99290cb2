"""Video-text matching: does this narration belong to this clip?

Shapes: N anchors are the first of M clips and texts of one rank (M = N, or 2N with scene-aware
negatives). As in ALBEF and SViTT the negatives are hard: drawn where the contrastive features are
similar. Anchors alone are asked about, but their negatives come from all M.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from numpy.random import SeedSequence, default_rng
from torch import Tensor
from torch.nn.functional import cross_entropy

Seed = int | Sequence[int] | SeedSequence


@dataclass(frozen=True)
class MatchPairs:
    """Pairs for the fusion encoder: text_index, video_index and label (1 matched, 0 not), each
    (n,) int64. The first N are the anchors' own pairs; n <= 3N."""

    text_index: Tensor
    video_index: Tensor
    label: Tensor


@torch.no_grad()
def draw_hard_negatives(scores: Tensor, positive_mask: Tensor, seed: Seed) -> tuple[Tensor, Tensor]:
    """For each row one column that is no positive, drawn with probability softmax(scores).

    Drawn by the Gumbel-max trick, which cannot round to a column of probability 0. The random
    numbers are made on the CPU, so a seed gives the same draws on every device.

    Args:
        scores: (R, C), cosine similarity / temperature.
        positive_mask: (R, C) bool, columns that must not be drawn.
        seed: the same seed, scores and mask give the same draw.

    Returns:
        index: (R,) int64, the drawn columns; meaningless where `exists` is false.
        exists: (R,) bool, false for rows where every column is a positive.
    """
    assert scores.shape == positive_mask.shape, (scores.shape, positive_mask.shape)
    gumbel = torch.from_numpy(default_rng(seed).gumbel(size=tuple(scores.shape)))
    noisy = scores.float() + gumbel.to(scores.device, torch.float32)
    index = noisy.masked_fill(positive_mask, -torch.inf).argmax(dim=1)
    return index, ~positive_mask.all(dim=1)


@torch.no_grad()
def draw_match_pairs(scores: Tensor, positive_mask: Tensor, anchors: int, seed: Seed) -> MatchPairs:
    """The anchors' own pairs, then a hard negative video for each anchor's text, then a hard
    negative text for each anchor's video. Anchors without any non-positive get no negative.

    Args:
        scores: (M, M), cosine similarity of text i and video j of this rank / temperature.
        positive_mask: (M, M) bool, rows are texts; see `contrastive.positives`.
        anchors: N.
        seed: of the draws; give every rank and step its own.
    """
    assert scores.shape == positive_mask.shape and anchors <= len(scores), (scores.shape, anchors)
    of_texts, of_videos = SeedSequence(seed).spawn(2)
    anchor = torch.arange(anchors, device=scores.device)
    videos, text_has = draw_hard_negatives(scores[:anchors], positive_mask[:anchors], of_texts)
    texts, video_has = draw_hard_negatives(scores.T[:anchors], positive_mask.T[:anchors], of_videos)
    text_index = torch.cat([anchor, anchor[text_has], texts[video_has]])
    video_index = torch.cat([anchor, videos[text_has], anchor[video_has]])
    label = torch.zeros_like(text_index)
    label[:anchors] = 1
    return MatchPairs(text_index, video_index, label)


def vtm_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy, mean over pairs, in fp32.

    Args:
        logits: (n, 2), column 1 = matched.
        label: (n,) int64, see `MatchPairs`.

    Returns:
        Scalar.
    """
    precision = torch.promote_types(logits.dtype, torch.float32)
    return cross_entropy(logits.to(precision), label)
