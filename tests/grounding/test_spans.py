"""Overlaps, losses and suppression of spans against torchvision's boxes and plain loops."""

import math

import pytest
import torch
from torchvision.ops import box_iou, distance_box_iou_loss

from svitt_ego.grounding.soft_nms import soft_nms, vote
from svitt_ego.grounding.spans import diou_loss, pairwise_iou


def random_spans(count: int) -> torch.Tensor:
    return torch.rand(count, 2, dtype=torch.float64).mul(50).sort(1).values + torch.tensor([0, 0.1])


def as_boxes(spans: torch.Tensor, height: float) -> torch.Tensor:
    rows = torch.zeros(len(spans), dtype=spans.dtype)
    return torch.stack([spans[:, 0], rows, spans[:, 1], rows + height], dim=1)


def test_iou_is_that_of_boxes_of_one_height():
    a, b = random_spans(20), random_spans(30)
    torch.testing.assert_close(pairwise_iou(a, b), box_iou(as_boxes(a, 1), as_boxes(b, 1)))


def test_iou_without_length_is_zero():
    assert (
        pairwise_iou(torch.tensor([[2.0, 2.0]]), torch.tensor([[2.0, 2.0], [1.0, 3.0]])).eq(0).all()
    )


def test_diou_loss_is_that_of_very_flat_boxes():
    a, b = random_spans(200), random_spans(200)
    flat = distance_box_iou_loss(as_boxes(a, 1e-5), as_boxes(b, 1e-5), eps=1e-14)
    torch.testing.assert_close(diou_loss(a, b), flat, atol=1e-8, rtol=0)


def test_diou_loss_of_equal_and_of_empty_spans():
    spans = random_spans(5).requires_grad_()
    torch.testing.assert_close(diou_loss(spans, spans.detach()).sum().item(), 0.0)
    empty = torch.zeros(1, 2, requires_grad=True)
    loss = diou_loss(empty, torch.tensor([[-1.0, 1.0]]))
    loss.sum().backward()
    assert loss.item() == 1.0 and empty.grad.isfinite().all()


def suppress_to_the_end(spans, scores, sigma, min_score):
    """The paper's figure 2, with the Gaussian penalty, until nothing is left."""
    left, found = list(zip(spans.tolist(), scores.tolist(), strict=True)), []
    while left:
        left.sort(key=lambda pair: -pair[1])
        (start, end), score = left.pop(0)
        if score < min_score:
            break
        found.append((start, end, score))
        weakened = []
        for (s, e), other in left:
            shared = max(0.0, min(end, e) - max(start, s))
            iou = shared / (end - start + e - s - shared)
            weakened.append(((s, e), other * math.exp(-iou * iou / sigma)))
        left = weakened
    return found


@pytest.mark.parametrize("keep", [1, 5, 100])
def test_soft_nms_keeps_what_suppressing_to_the_end_finds_first(keep):
    spans, scores = random_spans(40), torch.rand(40, dtype=torch.float64)
    found = suppress_to_the_end(spans, scores, sigma=0.4, min_score=0.2)[:keep]
    kept, kept_scores = soft_nms(spans, scores, sigma=0.4, min_score=0.2, keep=keep)
    expected = torch.tensor(found, dtype=torch.float64)
    torch.testing.assert_close(kept, expected[:, :2])
    torch.testing.assert_close(kept_scores, expected[:, 2])


def test_soft_nms_of_nothing():
    kept, scores = soft_nms(torch.zeros(0, 2), torch.zeros(0), 0.5, 0.01, 5)
    assert kept.shape == (0, 2) and scores.shape == (0,)
    kept, scores = soft_nms(torch.tensor([[0.0, 1.0]]), torch.tensor([0.005]), 0.5, 0.01, 5)
    assert kept.shape == (0, 2) and scores.shape == (0,)


def test_voting_is_a_mean_weighted_by_score_and_overlap():
    candidates = torch.tensor([[0.0, 10.0], [0.0, 9.0], [5.0, 10.0]])
    scores = torch.tensor([0.8, 0.4, 0.9])
    (refined,) = vote(candidates[:1], candidates, scores, min_iou=0.9)
    end = (0.8 * 1.0 * 10 + 0.4 * 0.9 * 9) / (0.8 * 1.0 + 0.4 * 0.9)
    torch.testing.assert_close(refined, torch.tensor([0.0, end]))
