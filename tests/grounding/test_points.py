"""Points of the pyramid, and which of them answer for a window."""

import pytest
import torch

from svitt_ego.config.grounding import REGRESSION_RANGES
from svitt_ego.grounding.points import assign, level_lengths, pyramid_points


def test_levels_halve_and_round_up():
    assert level_lengths(13, 5) == [13, 7, 4, 2, 1]
    points = pyramid_points(13, REGRESSION_RANGES[:5])
    assert points.step.tolist() == [*range(13), *range(0, 13, 2), 0, 4, 8, 12, 0, 8, 0]
    assert points.stride.tolist() == [1] * 13 + [2] * 7 + [4] * 4 + [8] * 2 + [16]


def by_hand(step, stride, nearest, farthest, start, end, radius):
    centre = (start + end) / 2
    inside = max(start, centre - radius * stride) < step < min(end, centre + radius * stride)
    return inside and nearest <= max(step - start, end - step) <= farthest


@pytest.mark.parametrize("radius", [1.5, 3.0])
def test_assignment_is_the_rule(radius):
    points = pyramid_points(151, REGRESSION_RANGES)
    spans = torch.rand(40, 2).mul(150).sort(1).values
    targets = assign(points, spans, radius)
    table = torch.stack([points.step, points.stride, points.nearest, points.farthest], 1).tolist()
    for row, (start, end) in enumerate(spans.tolist()):
        expected = [by_hand(*point, start, end, radius) for point in table]
        assert targets.positive[row].tolist() == expected
    torch.testing.assert_close(
        points.spans(targets.distances), spans[:, None].expand(-1, len(table), -1)
    )


def test_every_window_longer_than_a_step_has_a_point():
    lengths = torch.cat([torch.linspace(1.01, 40, 300), torch.linspace(40, 4000, 300)])
    starts = torch.rand(600) * (4095 - lengths)
    spans = torch.stack([starts, starts + lengths], dim=1)
    targets = assign(pyramid_points(4096, REGRESSION_RANGES), spans, 1.5)
    assert targets.positive.any(1).all()
    assert targets.positive.sum(1).max() <= 10  # few points answer for one window
