"""Soft non-maximum suppression (Bodla et al., ICCV 2017) and voting, in one dimension."""

import torch
from torch import Tensor

from svitt_ego.grounding.spans import pairwise_iou


def soft_nms(
    spans: Tensor, scores: Tensor, sigma: float, min_score: float, keep: int
) -> tuple[Tensor, Tensor]:
    """Take the best candidate, lower the scores of the others by how much they overlap it, repeat.

    A score is multiplied by exp(-IoU^2 / sigma), the paper's Gaussian. It only falls, so the first
    `keep` are those that suppressing to the end would find.

    Args:
        spans: (n, 2) candidates.
        scores: (n,).
        min_score: candidates that fall below it are out.
        keep: at most so many.

    Returns:
        Spans (k, 2) and lowered scores (k,), best first.
    """
    scores = scores.clone()
    kept, kept_scores = [], []
    while len(kept) < min(keep, len(spans)):
        best = int(scores.argmax())
        if scores[best] < min_score:
            break
        kept.append(spans[best])
        kept_scores.append(scores[best].clone())
        scores *= torch.exp(-(pairwise_iou(spans[best : best + 1], spans)[0] ** 2) / sigma)
        scores[best] = -1.0
    if not kept:
        return spans[:0], scores[:0]
    return torch.stack(kept), torch.stack(kept_scores)


def vote(kept: Tensor, candidates: Tensor, scores: Tensor, min_iou: float) -> Tensor:
    """Each span becomes the mean of the candidates that overlap it by `min_iou` or more, weighted
    by score times IoU.

    Args:
        kept: (k, 2), of the candidates.
        candidates: (n, 2) before suppression, with their scores (n,), above 0.
    """
    iou = pairwise_iou(kept, candidates)
    weights = (iou >= min_iou) * scores * iou
    return (weights / weights.sum(1, keepdim=True)) @ candidates
