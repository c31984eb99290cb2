"""Spans of time, (…, 2) start and end: how much two of them overlap."""

import torch
from torch import Tensor


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n, 2), (m, 2) -> (n, m) intersection over union; 0 where the union has no length."""
    start = torch.maximum(a[:, None, 0], b[None, :, 0])
    end = torch.minimum(a[:, None, 1], b[None, :, 1])
    intersection = (end - start).clamp(min=0)
    lengths = (a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None]
    union = lengths - intersection
    return torch.where(union > 0, intersection / union, 0.0)


def diou_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """1 - IoU + (distance of the centres / length of what encloses both)^2, of spans in pairs.

    Distance-IoU (Zheng et al., AAAI 2020, eq. 7) in one dimension; torchvision's is of boxes, whose
    height would enter the diagonal.

    Args:
        predicted, truth: (n, 2); a span that ends before it starts has length 0.

    Returns:
        (n,).
    """
    tiny = torch.finfo(predicted.dtype).eps
    inner_start = torch.maximum(predicted[:, 0], truth[:, 0])
    inner_end = torch.minimum(predicted[:, 1], truth[:, 1])
    intersection = (inner_end - inner_start).clamp(min=0)
    lengths = (predicted[:, 1] - predicted[:, 0]).clamp(min=0) + (truth[:, 1] - truth[:, 0])
    iou = intersection / (lengths - intersection).clamp(min=tiny)
    outer_start = torch.minimum(predicted[:, 0], truth[:, 0])
    outer_end = torch.maximum(predicted[:, 1], truth[:, 1])
    distance = (predicted.sum(1) - truth.sum(1)) / 2
    return 1 - iou + (distance / (outer_end - outer_start).clamp(min=tiny)) ** 2
