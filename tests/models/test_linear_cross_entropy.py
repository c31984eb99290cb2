"""Against cross-entropy of all logits at once. Tolerance: float64, 1e-12; bfloat16 against
float64: 1% of the largest value."""

import pytest
import torch
from torch.nn import functional as F

from svitt_ego.models import SViTTEgo, linear_cross_entropy

WIDTH, WORDS = 6, 23


def tensors(tokens, dtype=torch.float64):
    shapes = [(tokens, WIDTH), (WORDS, WIDTH), (WORDS,)]
    floats = [torch.randn(s, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]
    return floats, torch.randint(0, WORDS, (tokens,))


@pytest.mark.parametrize("words_at_once", [1, 5, 22, 23, 100])
def test_values_and_gradients(monkeypatch, words_at_once):
    tokens = 8
    monkeypatch.setattr(linear_cross_entropy, "LOGITS_AT_ONCE", words_at_once * tokens)
    floats, labels = tensors(tokens)
    labels[0], labels[1] = 0, WORDS - 1
    loss = linear_cross_entropy.linear_cross_entropy(*floats, labels)
    expected = F.cross_entropy(F.linear(*floats), labels)
    torch.testing.assert_close(loss, expected, atol=1e-12, rtol=0)
    weight = torch.randn((), dtype=torch.float64)
    ours = torch.autograd.grad(loss * weight, floats)
    theirs = torch.autograd.grad(expected * weight, floats)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_large_logits_do_not_overflow():
    (hidden, weight, bias), labels = tensors(4)
    hidden.data *= 1e4
    loss = linear_cross_entropy.linear_cross_entropy(hidden, weight, bias, labels)
    expected = F.cross_entropy(F.linear(hidden, weight, bias), labels)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_no_token_is_a_loss_of_zero_with_zero_gradients():
    floats, labels = tensors(0)
    loss = linear_cross_entropy.linear_cross_entropy(*floats, labels)
    assert loss.item() == 0
    for gradient in torch.autograd.grad(loss, floats):
        assert not gradient.any()


def test_half_precision(monkeypatch):
    monkeypatch.setattr(linear_cross_entropy, "LOGITS_AT_ONCE", 7 * 8)
    floats, labels = tensors(8, torch.bfloat16)
    loss = linear_cross_entropy.linear_cross_entropy(*floats, labels)
    wide = [x.detach().double().requires_grad_() for x in floats]
    expected = F.cross_entropy(F.linear(*wide), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=0.01, atol=0)
    ours = torch.autograd.grad(loss, floats)
    for a, b in zip(ours, torch.autograd.grad(expected, wide), strict=True):
        assert a.dtype == torch.bfloat16
        assert (a.double() - b).abs().max() < 0.01 * b.abs().max()


def test_no_tensor_of_tokens_by_words_is_made(monkeypatch):
    """The slices' size is what is held at once."""
    tokens, at_once = 8, 3
    monkeypatch.setattr(linear_cross_entropy, "LOGITS_AT_ONCE", at_once * tokens)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.ndim == 2 and out.shape[0] == tokens:
                largest = max(largest, out.shape[1])
            return out

    floats, labels = tensors(tokens)
    with Watch():
        linear_cross_entropy.linear_cross_entropy(*floats, labels).backward()
    assert largest == max(at_once, WIDTH)


def test_the_models_loss_is_that_of_its_logits(model_recipe):
    model = SViTTEgo(model_recipe)
    for parameter in model.mlm_head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    hidden = torch.randn(9, model_recipe.text.width)
    labels = torch.randint(0, model_recipe.text.vocabulary_size, (9,))
    expected = F.cross_entropy(model.mlm_logits(hidden), labels)
    torch.testing.assert_close(model.mlm_loss(hidden, labels), expected, atol=1e-6, rtol=0)
