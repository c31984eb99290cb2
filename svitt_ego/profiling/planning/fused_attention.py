"""What FlexAttention allocates, without computing: its compiled kernel cannot run on fake tensors.

Read from PyTorch's `torch/_inductor/kernel/flex`: stored are q, k, v, the output, in the order of
q's strides, and one fp32 number for each query (log-sum-exp); the backward pass adds one more
(delta), the three gradients, and an fp32 gradient of each captured table.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def planned_kernel(q: Tensor, k: Tensor, v: Tensor, score_mod: Callable[..., Tensor]) -> Tensor:
    """Stands in for compiled `flex_attention`: (B, H, N, d) each -> the same, without values."""
    captured = [cell.cell_contents for cell in score_mod.__closure__ or ()]
    tables = [x for x in captured if isinstance(x, Tensor) and x.requires_grad]
    return _PlannedKernel.apply(q, k, v, *tables)


class _PlannedKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, *tables: Tensor) -> Tensor:
        batch, heads, tokens, width = q.shape
        out = q.new_empty(batch, tokens, heads, width).transpose(1, 2)
        log_sum = q.new_empty(batch, heads, tokens, dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, log_sum, *tables)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, ...]:
        q, k, v, _, log_sum, *tables = ctx.saved_tensors
        delta = torch.empty_like(log_sum)
        gradients = [torch.empty_like(x) for x in (q, k, v, *tables)]
        del delta
        return tuple(gradients)
