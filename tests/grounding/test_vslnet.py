"""The span baseline: averaging, padding, its losses, right outputs, behind the same interface."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from svitt_ego.config.grounding import Decoding, Span
from svitt_ego.grounding.spans import pairwise_iou
from svitt_ego.grounding.vslnet import SpanOutputs, average_down, positions_of
from tests.grounding.conftest import first_alone, with_noise


@pytest.fixture
def make_vslnet(make_model):
    return lambda **span: make_model(architecture="vslnet", span=Span(**span))


def test_averages_are_those_of_equal_stretches():
    x = torch.randn(3, 40, 2)
    mask = torch.arange(40) < torch.tensor([[40], [13], [3]])
    averaged, kept, steps = average_down(x, mask, 8)
    assert kept.sum(1).tolist() == [8, 8, 3] and steps.tolist() == [5, 13 / 8, 1]
    torch.testing.assert_close(averaged[0], x[0].view(8, 5, 2).mean(1))
    torch.testing.assert_close(averaged[2, :3], x[2, :3])
    by_hand = [x[1, [t for t in range(13) if t * 8 // 13 == p]].mean(0) for p in range(8)]
    torch.testing.assert_close(averaged[1], torch.stack(by_hand))
    assert averaged[2, 3:].eq(0).all()


@pytest.mark.parametrize("length", [1, 7, 16, 33])
def test_padding_changes_nothing(make_vslnet, make_batch, length):
    model = with_noise(make_vslnet(positions=16)).double().eval()
    batch = make_batch(length, 50, tokens=(2, 6))
    batch = replace(batch, video=batch.video.double(), text=batch.text.double())
    alone = first_alone(batch, length, tokens=2)
    both, one = model(batch), model(alone)
    count = min(length, 16)
    for name in ("start_logits", "end_logits", "highlight_logits"):
        torch.testing.assert_close(getattr(both, name)[0, :count], getattr(one, name)[0])
    assert both.start_logits[0, count:].eq(float("-inf")).all()


def right_outputs(batch, positions):
    """What a model that knows the truth would say."""
    _, mask, steps = average_down(batch.video, batch.video_mask, positions)
    zero = torch.zeros(mask.shape)
    start, end = positions_of(batch.spans, SpanOutputs(zero, zero, zero, mask, steps))
    sure = [60.0 * F.one_hot(at, mask.shape[1]).float() for at in (start, end)]
    sure = [logits.masked_fill(~mask, float("-inf")) for logits in sure]
    place = torch.arange(mask.shape[1])
    inside = (place >= start[:, None]) & (place <= end[:, None])
    return SpanOutputs(*sure, torch.where(inside, 60.0, -60.0), mask, steps)


def test_right_outputs_give_the_best_window_there_is(make_vslnet, make_batch):
    """As near as a position of the averaged clip allows, so 1 where nothing is averaged."""
    batch = make_batch(3600, 700, 77, 20)
    model = make_vslnet(highlight_margin=0.0)
    for positions in (128, 4096):
        outputs = right_outputs(batch, positions)
        predictions = model.predict(outputs, batch, Decoding())
        truth_s = batch.grid.to_seconds(batch.spans)
        for predicted, truth, steps in zip(predictions, truth_s, outputs.steps, strict=True):
            off_s = (predicted.windows_s[0] - truth).abs().max()
            assert off_s <= steps * 4 / 30 + 1e-4
            if positions == 4096 and truth[1] - truth[0] > 2:
                assert pairwise_iou(predicted.windows_s[:1], truth[None]).item() > 0.85
        parts = model.eval().losses(outputs, batch).parts
        assert all(part < 1e-6 for part in parts.values())


def test_losses_reach_every_parameter(make_vslnet, make_batch):
    model, batch = make_vslnet(positions=16), make_batch(40, 11)
    losses = model.losses(model(batch), batch)
    torch.testing.assert_close(losses.total, sum(losses.parts.values()))
    losses.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_predictions_are_few_sorted_and_within_the_clip(make_vslnet, make_batch):
    model, batch = make_vslnet(positions=16).eval(), make_batch(40, 2)
    first, second = model.predict(model(batch), batch, Decoding())
    assert len(first.windows_s) == 5 and len(second.windows_s) == 3  # of 2 positions
    for predicted, duration_s in zip((first, second), batch.durations_s, strict=True):
        start, end = predicted.windows_s.unbind(1)
        assert (start >= 0).all() and (end <= duration_s).all() and (start < end).all()
        assert (predicted.scores.diff() <= 0).all()
