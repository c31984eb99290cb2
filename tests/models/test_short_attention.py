"""Against attention written out, every pair with its own copy of keys and values.

Tolerance: float64, 1e-12; bfloat16 against float64: 1% of the largest value.
"""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from svitt_ego.models.dropout import drop_elements
from svitt_ego.models.short_attention import short_attention

TEXTS, VIDEOS, HEADS, LENGTH, KEYS, WIDTH = 5, 3, 2, 4, 6, 8


def random(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_()


def oracle(q, k, v, mask=None, source_index=None, kept=None, rate=0.0):
    if source_index is not None:
        k, v = k[source_index], v[source_index]
    logits = torch.einsum("bhld,bhsd->bhls", q, k) / WIDTH**0.5
    if mask is not None:
        logits = logits + torch.where(mask, 0.0, float("-inf"))[:, None, None]
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    scores = p[:, :, 0].detach().mean(1)
    if kept is not None:
        p = p * kept / (1 - rate)
    out = torch.einsum("bhls,bhsd->blhd", p, v).reshape(len(q), LENGTH, -1)
    return out, scores


def inputs(texts=TEXTS, sources=TEXTS, dtype=torch.float64):
    shapes = [(texts, LENGTH), (sources, KEYS), (sources, KEYS)]
    return [random(b, HEADS, n, WIDTH, dtype=dtype) for b, n in shapes]


def padding():
    mask = torch.rand(TEXTS, KEYS) < 0.6
    mask[:, 0] = True
    return mask


def check(out, expected, wanted):
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=0)
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, wanted, d_out)
    theirs = torch.autograd.grad(expected, wanted, d_out)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_values_and_gradients(masked, shared):
    index = torch.tensor([2, 0, 0, 2, 0]) if shared else None  # video 1 has no text
    q, k, v = inputs(sources=VIDEOS if shared else TEXTS)
    mask = padding() if masked else None
    out, scores = short_attention(q, k, v, mask=mask, source_index=index)
    expected, expected_scores = oracle(q, k, v, mask, index)
    assert not scores.requires_grad
    torch.testing.assert_close(scores, expected_scores, atol=1e-12, rtol=0)
    check(out, expected, [q, k, v])


def test_dropout_drops_probabilities_and_repeats_in_the_backward_pass():
    rate = 0.25
    q, k, v = inputs()
    torch.manual_seed(5)
    out, scores = short_attention(q, k, v, dropout=rate)
    torch.manual_seed(5)
    _, kept = drop_elements(torch.ones(TEXTS, HEADS, LENGTH, KEYS).double(), rate)
    assert 0 < kept.double().mean() < 1
    expected, expected_scores = oracle(q, k, v, kept=kept, rate=rate)
    torch.testing.assert_close(scores, expected_scores, atol=1e-12, rtol=0)  # before dropout
    check(out, expected, [q, k, v])


def test_stores_no_probabilities():
    q, k, v = inputs()
    stored = []
    with saved_tensors_hooks(lambda t: stored.append(t) or t, lambda t: t):
        short_attention(q, k, v, mask=padding(), dropout=0.1)
    wide = [t for t in stored if t.is_floating_point()]
    assert {t.data_ptr() for t in wide} == {t.data_ptr() for t in (q, k, v)}
    assert all(t.element_size() == 1 for t in stored if not t.is_floating_point())


def test_half_precision():
    q, k, v = inputs(dtype=torch.bfloat16)
    out, scores = short_attention(q, k, v)
    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    expected, expected_scores = oracle(*wide)
    assert scores.dtype == torch.float32  # tokens are chosen by it
    torch.testing.assert_close(scores.double(), expected_scores, rtol=0.02, atol=0)
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, [q, k, v], d_out)
    theirs = torch.autograd.grad(expected, wide, d_out.double())
    for a, b in zip([out, *ours], [expected, *theirs], strict=True):
        assert a.dtype == torch.bfloat16
        assert (a.double() - b).abs().max() < 0.01 * b.abs().max()
