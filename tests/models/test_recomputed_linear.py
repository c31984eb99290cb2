"""Against the same linear layer under plain autograd. Tolerance: float64, 1e-12."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from svitt_ego.models.recomputed_linear import identity, recomputed_linear

ROWS, COLUMNS = 5, 7


def layer_norm(x, weight, bias):
    return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6)


def random(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    "function, inputs",
    [(identity, 1), (F.gelu, 1), (layer_norm, 3)],
    ids=["identity", "gelu", "layer_norm"],
)
@pytest.mark.parametrize("leading", [(4,), (2, 3)], ids=str)
def test_values_and_gradients(function, inputs, scaled, leading):
    given = [random(*leading, COLUMNS), random(COLUMNS), random(COLUMNS)][:inputs]
    weight, bias, scale = random(ROWS, COLUMNS), random(ROWS), random(ROWS)
    out = recomputed_linear(function, tuple(given), weight, bias, scale if scaled else None)
    expected = F.linear(function(*given), weight, bias)
    if scaled:
        expected = scale * expected
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=0)
    wanted = [*given, weight, bias, *([scale] if scaled else [])]
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, wanted, d_out)
    theirs = torch.autograd.grad(expected, wanted, d_out)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_integer_inputs_get_no_gradient():
    pixels = torch.randint(0, 256, (3, COLUMNS), dtype=torch.uint8)
    weight, bias = random(ROWS, COLUMNS), random(ROWS)

    def normalised(values):
        return values.double() / 255

    recomputed_linear(normalised, (pixels,), weight, bias).square().sum().backward()
    ours = weight.grad.clone()
    weight.grad = None
    F.linear(normalised(pixels), weight, bias).square().sum().backward()
    torch.testing.assert_close(ours, weight.grad, atol=1e-12, rtol=0)


def test_only_the_input_is_stored():
    x, weight, bias, scale = random(4, COLUMNS), random(ROWS, COLUMNS), random(ROWS), random(ROWS)
    stored = []
    with saved_tensors_hooks(lambda t: stored.append(t.data_ptr()) or t, lambda t: t):
        recomputed_linear(F.gelu, (x,), weight, bias, scale)
    assert set(stored) == {t.data_ptr() for t in (x, weight, bias, scale)}


def test_frozen_parameters():
    """A gradient for the input alone, where the weights do not train."""
    x, weight, bias = random(4, COLUMNS), random(ROWS, COLUMNS).detach(), random(ROWS).detach()
    recomputed_linear(F.gelu, (x,), weight, bias).sum().backward()
    ours = x.grad.clone()
    x.grad = None
    F.linear(F.gelu(x), weight, bias).sum().backward()
    torch.testing.assert_close(ours, x.grad, atol=1e-12, rtol=0)


def test_half_precision():
    """bfloat16 against float64: 2% of the largest value."""
    wide = [random(40, COLUMNS), random(ROWS, COLUMNS), random(ROWS), random(ROWS)]
    narrow = [t.detach().bfloat16().requires_grad_() for t in wide]
    wide = [t.detach().double().requires_grad_() for t in narrow]
    x, weight, bias, scale = narrow
    out = recomputed_linear(F.gelu, (x,), weight, bias, scale)
    expected = wide[3] * F.linear(F.gelu(wide[0]), wide[1], wide[2])
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, narrow, d_out)
    theirs = torch.autograd.grad(expected, wide, d_out.double())
    for a, b in zip([out, *ours], [expected, *theirs], strict=True):
        assert a.dtype == torch.bfloat16
        assert (a.double() - b).abs().max() < 0.02 * b.abs().max()
