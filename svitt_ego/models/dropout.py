"""Dropout that keeps one byte for each element and draws cheaply on a CPU."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

LEVELS = 1 << 16
"""A CPU draws 16 bits for an element, so its rates are multiples of 1/LEVELS."""


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """As `torch.nn.functional.dropout`, which on a CPU stores its mask in the dtype of x."""
    if not training or rate == 0:
        return x
    return _Dropout.apply(x, rate)


def drop_elements(x: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """`x` with elements zeroed at `rate`, from 0 to below 1, and the others scaled to the same
    mean; and what was kept, (shape of x) bool. No gradient passes."""
    x = x.detach()
    if x.is_cuda:
        return torch.native_dropout(x, rate, True)
    kept = _kept(x, _dropped_levels(rate))
    return drop_again(x, kept, rate), kept


def drop_again(x: Tensor, kept: Tensor, rate: float) -> Tensor:
    """As `drop_elements` did, of another x: for the backward pass, the gradient."""
    share = 1 - rate if x.is_cuda else 1 - _dropped_levels(rate) / LEVELS
    return torch.ops.aten.native_dropout_backward(x, kept, 1 / share)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, rate: float) -> Tensor:
        out, kept = drop_elements(x, rate)
        ctx.rate = rate
        ctx.save_for_backward(kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return drop_again(d_out, kept, ctx.rate), None


def _dropped_levels(rate: float) -> int:
    return min(round(rate * LEVELS), LEVELS - 1)


def _kept(x: Tensor, dropped_levels: int) -> Tensor:
    """Four elements share one draw of 64 bits: `bernoulli_` draws 64 for each, one by one."""
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    draws.random_(-(2**63), None)
    levels = draws.view(torch.int16)[: x.numel()]
    return (levels >= dropped_levels - LEVELS // 2).view(x.shape)
