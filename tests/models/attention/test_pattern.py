import numpy as np
import pytest
import torch

from svitt_ego.config.schema import EdgeSparsity
from svitt_ego.models.attention import draw_pattern, draw_patterns


@pytest.mark.parametrize("blocks,local,others", [(14, 1, 3), (14, 3, 2), (7, 5, 2), (3, 3, 0)])
def test_rows_hold_wrapping_local_then_distinct_others(blocks, local, others):
    pattern = draw_pattern(blocks, local, others, (3, 1, 4))
    assert pattern.shape == (blocks, local + others) and pattern.dtype == torch.int64
    reach = (local - 1) // 2
    for i, row in enumerate(pattern.tolist()):
        assert row[:local] == [(i + r) % blocks for r in range(-reach, reach + 1)]
        assert len(set(row)) == len(row)
        assert set(row) <= set(range(blocks))


def test_pattern_is_a_pure_function_of_its_seed():
    first = draw_pattern(14, 1, 3, (0, 5, 2))
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(first, draw_pattern(14, 1, 3, (0, 5, 2)))
    others = [(1, 5, 2), (0, 6, 2), (0, 5, 3)]
    assert all(not torch.equal(first, draw_pattern(14, 1, 3, seed)) for seed in others)


def test_random_blocks_are_uniform():
    """Each of the 9 blocks that are not local is drawn by a row with probability 3 / 9; over 600
    draws and 10 rows the share of each distance is within 5 standard deviations (0.006 each)."""
    counts = torch.zeros(10)
    for step in range(600):
        pattern = draw_pattern(10, 1, 3, (0, step))
        distances = (pattern[:, 1:] - torch.arange(10)[:, None]) % 10
        counts += torch.bincount(distances.flatten(), minlength=10)
    shares = counts / 6000
    assert shares[0] == 0
    assert (shares[1:] - 1 / 3).abs().max() < 0.03


def test_patterns_of_layers():
    edge = EdgeSparsity(local_blocks=1, random_blocks=3, block_size=56)
    counts = [784, 784, 549, 270, 224, 168]
    patterns = draw_patterns(edge, counts, seed=0, step=7)
    assert [None if p is None else len(p) for p in patterns] == [14, 14, 10, 5, 4, None]
    assert not torch.equal(patterns[0], patterns[1])
    assert not torch.equal(patterns[0], draw_patterns(edge, counts, seed=0, step=8)[0])
    assert torch.equal(patterns[0], draw_patterns(edge, counts[:1], seed=0, step=7)[0])
    assert draw_patterns(None, counts, seed=0, step=7) == (None,) * 6
