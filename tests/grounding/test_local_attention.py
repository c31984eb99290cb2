"""Local attention against dense attention with a band for a mask."""

import pytest
import torch
from torch.nn import functional as F

from svitt_ego.grounding.local_attention import BLOCK, local_attention


@pytest.mark.parametrize("length", [1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("window", [1, 3, 9, 81])
def test_equals_dense_attention_with_a_band(length, window):
    q, k, v = torch.randn(3, 2, 2, length, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(length) < torch.tensor([[length], [max(1, length - 3)]])
    place = torch.arange(length)
    away = (place - place[:, None]).abs()
    band = (away <= window // 2) & mask[:, None] | (away == 0)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=band[:, None])
    got = local_attention(q, k, v, mask, window)
    torch.testing.assert_close(got, expected)
    weights = torch.randn_like(got)
    for a, b in zip(
        torch.autograd.grad((got * weights).sum(), (q, k, v)),
        torch.autograd.grad((expected * weights).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
