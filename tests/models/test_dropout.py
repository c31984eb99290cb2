import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from svitt_ego.models.dropout import dropout


def test_zeroes_at_its_rate_and_keeps_the_mean():
    x = torch.ones(40_000, requires_grad=True)
    out = dropout(x, 0.3, True)
    kept = out != 0
    assert abs(kept.float().mean().item() - 0.7) < 0.02  # nine standard deviations
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.7))
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_elements_that_share_a_draw_are_alike_and_independent():
    kept = dropout(torch.ones(100_000, 4), 0.1, True) != 0
    share = kept.double().mean(0)
    assert (share - 0.9).abs().max() < 0.008  # eight standard deviations
    together = (kept[:, :, None] & kept[:, None]).double().mean(0)
    apart = together[~torch.eye(4, dtype=torch.bool)]
    assert (apart - 0.81).abs().max() < 0.01


@pytest.mark.parametrize("rate", [1e-6, 0.5, 0.999, 0.99999])
def test_keeps_the_mean_at_any_rate(rate):
    out = dropout(torch.ones(4_000_000), rate, True)
    kept = out[out != 0]
    share = len(kept) / out.numel()
    # scaled by what a kept element stands for, within five standard deviations
    assert abs(out.mean().item() - 1) < 5 * ((1 - share) / len(kept)) ** 0.5 + 1e-5


def test_does_nothing_outside_training():
    x = torch.randn(5)
    assert dropout(x, 0.3, False) is x
    assert dropout(x, 0.0, True) is x


def test_stores_one_byte_a_value():
    stored = []
    with saved_tensors_hooks(lambda t: stored.append(t) or t, lambda t: t):
        dropout(torch.randn(5, requires_grad=True), 0.3, True)
    assert [t.element_size() for t in stored] == [1]
