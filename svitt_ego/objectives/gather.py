"""Rows of all ranks, so that the contrastive loss sees the global batch.

Every rank computes the same loss over the gathered rows. A rank's rows receive the gradients of all
ranks' copies of that loss, W times the true one for W ranks; averaging parameter gradients over
ranks, as DDP and DeepSpeed do, divides by W again. So no further factor is needed.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def gather_with_gradient(x: Tensor) -> Tensor:
    """Concatenate `x` over ranks; gradients flow back to every rank.

    Written here because torch deprecates `torch.distributed.nn.functional.all_gather` and
    `deepspeed.comm.all_gather` carries no gradient.

    Args:
        x: (M, ...), of the same shape on every rank.

    Returns:
        (W * M, ...), rank by rank; `x` itself where there is one process.
    """
    return _AllGather.apply(x) if _world_size() > 1 else x


@torch.no_grad()
def gather_without_gradient(x: Tensor) -> Tensor:
    """Concatenate `x`, such as tags, over ranks.

    Args:
        x: (M, ...), of the same shape on every rank.

    Returns:
        (W * M, ...), rank by rank; `x` itself where there is one process.
    """
    world_size = _world_size()
    if world_size == 1:
        return x
    _assert_equal_shapes(x, world_size)
    rows = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size)]
    dist.all_gather(rows, x.contiguous())
    return torch.cat(rows)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return gather_without_gradient(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[dist.get_rank() * ctx.rows :][: ctx.rows]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _assert_equal_shapes(x: Tensor, world_size: int) -> None:
    """Unequal shapes would otherwise give one rank garbage and kill or hang the next."""
    own = torch.tensor(x.shape, device=x.device)
    shapes = [torch.empty_like(own) for _ in range(world_size)]
    dist.all_gather(shapes, own)
    found = [tuple(shape.tolist()) for shape in shapes]
    assert len(set(found)) == 1, f"every rank must bring a batch of the same shape, not {found}"
