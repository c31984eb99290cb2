"""GroundNLQ: padding, odd lengths, what it is sensitive to, its losses, its predictions."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import normalize
from torchvision.ops import sigmoid_focal_loss

from svitt_ego.config import load_recipe
from svitt_ego.config.grounding import Decoding, GroundingModel, GroundingRecipe, Pyramid
from svitt_ego.grounding.ground_nlq import PointOutputs, beside_query_product
from svitt_ego.grounding.points import assign, pyramid_points
from svitt_ego.grounding.positions import sinusoidal_positions
from svitt_ego.grounding.soft_nms import soft_nms, vote
from svitt_ego.grounding.spans import diou_loss, pairwise_iou
from tests.grounding.conftest import first_alone, with_noise


def pyramid(**changes):
    return Pyramid(stem_layers=2, text_layers=1, layer_scale=1.0, **changes)


@pytest.mark.parametrize("cross_attention", [False, True])
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 101])
def test_padding_changes_nothing(make_model, make_batch, length, cross_attention):
    model = with_noise(make_model(pyramid=pyramid(cross_attention=cross_attention)))
    model = model.double().eval()
    batch = make_batch(length, 130, tokens=(3, 9))
    batch = replace(batch, video=batch.video.double(), text=batch.text.double())
    alone = first_alone(batch, length, tokens=3)
    both, one = model(batch), model(alone)
    seen = both.mask[0]
    assert one.mask.all() and seen.sum() == one.logits.shape[1]
    torch.testing.assert_close(both.logits[0, seen], one.logits[0])
    torch.testing.assert_close(both.distances[0, seen], one.distances[0])
    assert not one.distances.isnan().any()


def test_a_point_is_sensitive_to_text_and_to_the_video_around_it(make_model, make_batch):
    model = make_model().eval()
    batch = make_batch(200)
    batch = replace(batch, video=batch.video.requires_grad_(), text=batch.text.requires_grad_())
    model(batch).logits[0, 100].backward()
    assert batch.text.grad.abs().sum(-1).gt(0).all()
    (seen,) = batch.video.grad[0].abs().sum(-1).nonzero(as_tuple=True)
    # per side: 2 projections, 2 layers of (a convolution and 4 positions), 3 convolutions
    reach = 2 + 2 * (1 + 4) + 3
    assert (seen.min(), seen.max()) == (100 - reach, 100 + reach)


def test_positions_tell_places_apart_and_long_clips_stay_in_range():
    table = sinusoidal_positions(50, 16, 50)
    assert (torch.cdist(table, table) + torch.eye(50)).min() > 1e-3
    torch.testing.assert_close(sinusoidal_positions(100, 16, 50)[::2], table)
    torch.testing.assert_close(sinusoidal_positions(20, 16, 50), table[:20])


def right_outputs(batch):
    """What a model that knows the truth would say."""
    points = pyramid_points(batch.video.shape[1], Pyramid().regression_ranges)
    targets = assign(points, batch.spans, Pyramid().centre_radius)
    mask = points.step < batch.video_mask.sum(1, keepdim=True)
    logits = torch.where(targets.positive & mask, 8.0, -8.0)
    return PointOutputs(logits, targets.distances.clamp(min=0), mask, points)


def test_equal_windows_at_different_places_are_told_apart(make_model, make_batch):
    batch = make_batch(200)
    batch = replace(batch, video=batch.video[:, :1].expand_as(batch.video))
    logits = make_model().eval()(batch).logits[0]
    assert (logits[80:120] - logits[80]).abs()[1:].min() > 1e-4


def test_a_fresh_models_linear_biases_are_zero(make_model):
    linear = [part for part in make_model().modules() if isinstance(part, nn.Linear)]
    assert linear and not any(part.bias.any() for part in linear)


def test_candidates_are_suppressed_and_vote_as_the_decoding_says(make_model, make_batch):
    batch = make_batch(60)
    points = pyramid_points(60, ((0, 1e9),))
    spans = torch.tensor([[5.0, 15.0], [5.0, 16.0], [30.0, 40.0]])
    at, scores = torch.tensor([10, 11, 35]), torch.tensor([0.8, 0.7, 0.5])
    logits, distances = torch.full((1, 60), -20.0), torch.zeros(1, 60, 2)
    logits[0, at] = scores.logit()
    distances[0, at] = (spans - at[:, None]).abs()
    outputs = PointOutputs(logits, distances, batch.video_mask, points)
    for decoding in (Decoding(nms_sigma=0.2), Decoding(nms_sigma=5.0, voting_iou=None)):
        (predicted,) = make_model().predict(outputs, batch, decoding)
        kept, lowered = soft_nms(spans, scores, decoding.nms_sigma, decoding.min_score, keep=5)
        if decoding.voting_iou:
            kept = vote(kept, spans, scores, decoding.voting_iou)
        torch.testing.assert_close(predicted.scores, lowered)
        torch.testing.assert_close(predicted.windows_s, batch.grid.to_seconds(kept))


@pytest.mark.parametrize("voting_iou", [None, 0.9])
def test_right_outputs_give_iou_1(make_model, make_batch, voting_iou):
    batch = make_batch(3600, 1801, 77, 20)
    predictions = make_model().predict(right_outputs(batch), batch, Decoding(voting_iou=voting_iou))
    truth_s = batch.grid.to_seconds(batch.spans).clamp(min=0)
    truth_s = truth_s.minimum(batch.durations_s[:, None])
    for predicted, truth in zip(predictions, truth_s, strict=True):
        assert pairwise_iou(predicted.windows_s[:1], truth[None]).item() > 1 - 1e-4
        assert predicted.scores[0] == predicted.scores.max()


def test_right_outputs_have_no_regression_loss(make_model, make_batch):
    batch = make_batch(900, 333)
    model = make_model().eval()
    parts = model.losses(right_outputs(batch), batch).parts
    assert parts["regression"].abs() < 1e-5
    wrong = replace(right_outputs(batch), distances=right_outputs(batch).distances * 1.2)
    assert model.losses(wrong, batch).parts["regression"] > 1e-3


def test_losses_are_the_formulas(make_model, make_batch):
    batch = make_batch(90, 51)
    model = make_model().eval()
    model.running_positives.fill_(7.0)
    outputs = model(batch)
    got = model.losses(outputs, batch)
    targets = assign(outputs.points, batch.spans, 1.5)
    focal = regression = 0.0
    for row, column in outputs.mask.nonzero().tolist():
        positive = bool(targets.positive[row, column])
        wanted = torch.tensor(0.95 if positive else 0.05)
        focal += sigmoid_focal_loss(outputs.logits[row, column], wanted)
        if positive:
            point = pyramid_points(90, Pyramid().regression_ranges)
            span = point.spans(outputs.distances[row])[column]
            regression += diou_loss(span[None], batch.spans[row : row + 1])[0]
    torch.testing.assert_close(got.parts["classification"], focal / 7, rtol=1e-4, atol=0)
    torch.testing.assert_close(got.parts["regression"], regression / 7, rtol=1e-4, atol=0)
    torch.testing.assert_close(got.total, sum(got.parts.values()))


def test_the_count_of_positives_runs_in_training_alone(make_model, make_batch):
    model, batch = make_model(), make_batch(90, 51)
    # the second ends past its clip, as some published windows do: padding answers for no window
    batch = replace(batch, spans=torch.tensor([[10.0, 20.0], [45.0, 60.0]]))
    outputs = model(batch)
    positive = assign(outputs.points, batch.spans, 1.5).positive
    positives = (positive & outputs.mask).sum()
    assert 0 < positives < positive.sum()
    model.losses(outputs, batch).total.backward()
    torch.testing.assert_close(model.running_positives[0], 0.9 * 200 + 0.1 * positives)
    model.eval().losses(outputs, batch)
    torch.testing.assert_close(model.running_positives[0], 0.9 * 200 + 0.1 * positives)
    assert "running_positives" in model.state_dict()
    assert all(p.grad is not None for p in model.parameters())


def test_predictions_are_few_sorted_and_within_the_clip(make_model, make_batch):
    batch = make_batch(300, 41)
    model = make_model().eval()
    for predicted, duration_s in zip(
        model.predict(model(batch), batch, Decoding()), batch.durations_s, strict=True
    ):
        start, end = predicted.windows_s.unbind(1)
        assert 0 < len(start) <= 5
        assert (start >= 0).all() and (end <= duration_s).all() and (start <= end).all()
        assert (predicted.scores.diff() <= 0).all()


@pytest.mark.parametrize("name", ["paper_128", "groundnlq_384", "groundnlq_384_star", "vslnet_128"])
def test_shipped_recipes(name):
    recipe = load_recipe(f"grounding/{name}", kind=GroundingRecipe)
    assert len(recipe.model.pyramid.regression_ranges) == 7
    assert recipe.model.width == int(name.split("_")[1])
    assert recipe.data.grid.stride_frames == (4.0 if name.endswith("_128") else 16.043)


@pytest.mark.parametrize("length", [1, 64, 101])
def test_query_products_leave_padding_out(make_model, make_batch, length):
    model = make_model(video_width=6, text_width=6, pyramid=pyramid(query_product=True))
    model = with_noise(model).double().eval()
    batch = make_batch(length, 130, tokens=(3, 9))
    batch = replace(batch, video=batch.video[..., :6].double(), text=batch.text.double())
    both, one = model(batch), model(first_alone(batch, length, tokens=3))
    seen = both.mask[0]
    torch.testing.assert_close(both.logits[0, seen], one.logits[0])
    torch.testing.assert_close(both.distances[0, seen], one.distances[0])


def test_query_products_add_up_to_the_cosine():
    video = normalize(torch.randn(2, 7, 64), dim=-1)
    query = normalize(torch.randn(2, 64), dim=-1)
    beside = beside_query_product(video, query)
    torch.testing.assert_close(beside[..., :64] / 8, video)
    cosines = torch.cosine_similarity(video, query[:, None], dim=-1)
    torch.testing.assert_close(beside[..., 64:].mean(-1), cosines)
    assert beside[..., :64].pow(2).mean().sqrt() == pytest.approx(1.0, abs=1e-5)
    assert beside[..., 64:].pow(2).mean().sqrt() == pytest.approx(1.0, abs=0.3)


def test_query_products_need_features_of_one_width():
    with pytest.raises(ValidationError, match="must be video_width, 256"):
        GroundingModel(text_width=128, pyramid=Pyramid(query_product=True))


def test_a_pyramid_needs_a_level():
    with pytest.raises(ValidationError, match="must have one a level"):
        Pyramid(regression_ranges=[])
