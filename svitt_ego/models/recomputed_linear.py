"""A linear layer of something cheap: of a LayerNorm, of a GELU, of normalised pixels.

Autograd would store both the cheap function's input and its output, which the weight's gradient
needs. Here the input alone is stored, and the function is computed again in the backward pass. A
layer scale is part of it too, as autograd would store the scaled branch for the scale's gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F


def recomputed_linear(
    function: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    weight: Tensor,
    bias: Tensor,
    scale: Tensor | None = None,
) -> Tensor:
    """scale * linear(function(*inputs), weight, bias).

    Args:
        function: differentiable and deterministic; its result is (..., columns).
        inputs: what it is given; those of integer type get no gradient.
        weight: (rows, columns).
        bias: (rows,).
        scale: (rows,) or None for 1.

    Returns:
        (..., rows). Stored for the backward pass: `inputs` and the parameters.
    """
    return _RecomputedLinear.apply(function, weight, bias, scale, *inputs)


class _RecomputedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        function: Callable[..., Tensor],
        weight: Tensor,
        bias: Tensor,
        scale: Tensor | None,
        *inputs: Tensor,
    ) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(weight, bias, scale, *inputs)
        out = F.linear(function(*inputs), weight, bias)
        return out if scale is None else out.mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> tuple[Tensor | None, ...]:
        weight, bias, scale, *inputs = ctx.saved_tensors
        leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
        differentiable = [leaf for leaf in leaves if leaf.requires_grad]
        with torch.enable_grad():
            x = ctx.function(*leaves)
        rows = d_out.flatten(0, -2)
        d_weight = rows.mT @ x.detach().flatten(0, -2)
        d_bias = rows.sum(0)
        d_scale = None
        if scale is not None:
            # out = scale * y: sum over tokens of d_out * y, without y
            d_scale = torch.linalg.vecdot(d_weight, weight) + d_bias * bias
            d_weight *= scale[:, None]
            d_bias *= scale
            weight = scale[:, None] * weight
        d_inputs = iter(())
        if differentiable:
            d_x = (rows @ weight).view(x.shape)
            d_inputs = iter(torch.autograd.grad(x, differentiable, d_x))
        of_inputs = [next(d_inputs) if leaf.requires_grad else None for leaf in leaves]
        return None, d_weight, d_bias, d_scale, *of_inputs


def identity(x: Tensor) -> Tensor:
    """For a linear layer of its plain input, where the scale's gradient is what is saved."""
    return x
