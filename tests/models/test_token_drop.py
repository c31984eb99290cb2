import math
import random
from fractions import Fraction

import pytest
import torch

from svitt_ego.config.schema import NodeSparsity
from svitt_ego.models.token_drop import (
    compose,
    keep_count,
    keep_tokens,
    select_tokens,
    token_counts,
)


def test_paper_counts():
    node = NodeSparsity(layers=(3, 6, 9), keep_rate=0.7)
    counts = token_counts(node, 12, 784)
    assert counts == (784,) * 4 + (549,) * 3 + (385,) * 3 + (270,) * 3
    assert token_counts(None, 3, 784) == (784,) * 4


def test_keep_count_is_exact_where_floats_are_not():
    assert math.ceil(0.55 * 100) == 56  # what binary floats make of it
    assert keep_count(100, 0.55) == 55
    for _ in range(200):
        tokens, tenths = random.randint(1, 2000), random.randint(1, 10)
        assert keep_count(tokens, tenths / 10) == math.ceil(Fraction(tenths, 10) * tokens)


@pytest.mark.parametrize("tokens, keep", [(1, 1), (7, 3), (50, 50)])
def test_select_keeps_the_highest_in_order(tokens, keep):
    scores = torch.rand(4, tokens)
    kept = select_tokens(scores, keep)
    for row, places in zip(scores.tolist(), kept.tolist(), strict=True):
        best = sorted(range(tokens), key=lambda place: -row[place])[:keep]
        assert places == sorted(best)


def test_keep_tokens_keeps_cls_and_routes_gradients():
    x = torch.randn(2, 1 + 6, 3, requires_grad=True)
    kept = torch.tensor([[0, 2, 5], [1, 2, 3]])
    out = keep_tokens(x, kept)
    for sample in range(2):
        assert torch.equal(out[sample, 0], x[sample, 0])
        assert torch.equal(out[sample, 1:], x[sample, 1:][kept[sample]])
    out.sum().backward()
    expected = torch.zeros(2, 7)
    expected[0, [0, 1, 3, 6]] = expected[1, [0, 2, 3, 4]] = 1
    assert torch.equal(x.grad, expected.unsqueeze(-1).expand(-1, -1, 3))


def test_compose_gives_original_positions():
    positions = torch.arange(20).expand(3, -1)
    drops, present = [], positions
    for keep in (15, 9, 4):
        kept = select_tokens(torch.rand(3, present.shape[1]), keep)
        present = present.gather(1, kept)
        drops.append(kept)
    assert torch.equal(compose(drops), present)
