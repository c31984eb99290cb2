import pytest
import torch
from torch.nn.functional import log_softmax

from svitt_ego.objectives import draw_hard_negatives, draw_match_pairs, vtm_loss


def make_scores(rows, columns, seed=0, spread=2.0):
    return spread * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def diagonal(clips):
    return torch.eye(clips, dtype=torch.bool)


def test_draws_follow_the_softmax_over_non_positives():
    """Chi-square of 20 000 draws from one row: 95% of good samplers stay below 15.5 (8 degrees of
    freedom), 99.999% below 37."""
    draws, columns = 20_000, 12
    scores = make_scores(1, columns, spread=1.0)
    mask = torch.zeros(1, columns, dtype=torch.bool)
    mask[0, [0, 5, 6]] = True
    index, exists = draw_hard_negatives(
        scores.expand(draws, -1), mask.expand(draws, -1), seed=(3, 1, 4)
    )
    assert exists.all()
    counts = torch.bincount(index, minlength=columns).double()
    expected = draws * scores[0].masked_fill(mask[0], -torch.inf).double().softmax(0)
    assert (counts[mask[0]] == 0).all()
    free = ~mask[0]
    chi_square = ((counts - expected)[free].square() / expected[free]).sum()
    assert chi_square < 37


@pytest.mark.parametrize("seed", range(5))
def test_a_positive_is_never_drawn_however_similar(seed):
    mask = diagonal(40) | (torch.rand(40, 40, generator=torch.Generator().manual_seed(seed)) < 0.5)
    scores = make_scores(40, 40, seed).masked_fill(mask, 1000.0)
    index, exists = draw_hard_negatives(scores, mask, seed)
    assert exists.all()
    assert not mask[torch.arange(40), index].any()


def test_extreme_half_precision_scores_still_draw_the_hardest():
    scores = torch.full((4, 4), -1000.0, dtype=torch.float16)
    scores[:, 2] = 1000.0
    index, exists = draw_hard_negatives(scores, torch.zeros(4, 4, dtype=torch.bool), 0)
    assert exists.all() and (index == 2).all()


def test_rows_without_a_non_positive_are_marked():
    mask = torch.tensor([[True, True, True], [True, False, True]])
    index, exists = draw_hard_negatives(torch.zeros(2, 3), mask, 0)
    assert exists.tolist() == [False, True]
    assert index[1] == 1


def test_the_seed_decides_and_nothing_else():
    scores, mask = make_scores(64, 64), diagonal(64)
    torch.manual_seed(1)
    first = draw_hard_negatives(scores, mask, (5, 6))[0]
    torch.manual_seed(2)
    assert torch.equal(first, draw_hard_negatives(scores, mask, (5, 6))[0])
    assert not torch.equal(first, draw_hard_negatives(scores, mask, (5, 7))[0])


@pytest.mark.parametrize(("anchors", "clips"), [(6, 6), (6, 12), (2, 2)])
def test_pairs_are_the_anchors_and_two_hard_negatives_each(anchors, clips):
    pairs = draw_match_pairs(make_scores(clips, clips), diagonal(clips), anchors, seed=1)
    anchor = torch.arange(anchors)
    own, of_texts, of_videos = (slice(k * anchors, (k + 1) * anchors) for k in range(3))
    assert len(pairs.label) == 3 * anchors
    assert pairs.label.tolist() == [1] * anchors + [0] * 2 * anchors
    assert torch.equal(pairs.text_index[own], anchor)
    assert torch.equal(pairs.video_index[own], anchor)
    assert torch.equal(pairs.text_index[of_texts], anchor)
    assert torch.equal(pairs.video_index[of_videos], anchor)
    negative = pairs.label == 0
    assert (pairs.text_index[negative] != pairs.video_index[negative]).all()
    assert pairs.video_index.max() < clips and pairs.text_index.max() < clips


def test_each_direction_reads_its_own_similarities():
    """Text 0 is nearest clip 2 while clip 0 is nearest text 1: rows are texts, columns clips."""
    scores = torch.full((3, 3), -500.0)
    scores[0, 2] = 500.0
    scores[1, 0] = 500.0
    pairs = draw_match_pairs(scores, diagonal(3), anchors=1, seed=0)
    assert pairs.text_index.tolist() == [0, 0, 1]
    assert pairs.video_index.tolist() == [0, 2, 0]


def test_scene_negatives_are_drawn_for_anchors():
    pairs = draw_match_pairs(torch.zeros(100, 100), diagonal(100), anchors=50, seed=0)
    assert (pairs.video_index[50:100] >= 50).float().mean() > 0.25
    assert (pairs.text_index[100:] >= 50).float().mean() > 0.25


def test_the_directions_are_drawn_independently():
    pairs = draw_match_pairs(torch.zeros(50, 50), diagonal(50), anchors=50, seed=0)
    assert not torch.equal(pairs.video_index[50:100], pairs.text_index[100:])


def test_anchors_without_a_non_positive_are_skipped():
    mask = diagonal(4)
    mask[1] = True  # every clip matches text 1, though not every text matches clip 1
    pairs = draw_match_pairs(torch.zeros(4, 4), mask, anchors=3, seed=0)
    assert pairs.text_index[:5].tolist() == [0, 1, 2, 0, 2]
    assert pairs.video_index[5:].tolist() == [0, 1, 2]
    assert len(pairs.label) == 8
    alone = draw_match_pairs(torch.zeros(1, 1), diagonal(1), anchors=1, seed=0)
    assert alone.label.tolist() == [1]


def test_no_gradient_through_the_choice():
    scores = make_scores(4, 4).requires_grad_()
    pairs = draw_match_pairs(scores, diagonal(4), anchors=4, seed=0)
    assert not pairs.video_index.requires_grad


def test_vtm_loss_reads_column_1_as_matched():
    logits = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    label = torch.tensor([1, 1, 1, 0, 0, 0, 0])
    expected = -torch.stack([log_softmax(row, 0)[k] for row, k in zip(logits, label, strict=True)])
    torch.testing.assert_close(vtm_loss(logits, label), expected.mean())
    sure = torch.tensor([[-50.0, 50.0], [50.0, -50.0]], dtype=torch.float16)
    assert vtm_loss(sure, torch.tensor([1, 0])) < 1e-6
    assert vtm_loss(sure, torch.tensor([0, 1])).item() == pytest.approx(100)
