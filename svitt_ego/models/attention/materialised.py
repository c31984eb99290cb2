"""Dense attention as BEiT computes it: plain autograd, with the probabilities kept for backward."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from svitt_ego.models.attention.tiles import Tile


def materialised_attention(
    q: Tensor, k: Tensor, v: Tensor, bias_table: Tensor, codes: Tensor
) -> Tensor:
    """As `svitt_ego.models.attention.attention`, dense and without [CLS] scores."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    scores += _PositionBias.apply(bias_table, codes)
    probabilities = scores.softmax(-1)
    return (probabilities @ v).transpose(1, 2).flatten(2)


class _PositionBias(torch.autograd.Function):
    """The bias of all pairs, (batch or 1, heads, tokens, tokens); keeps the codes, not the index,
    which indexing under autograd would keep as tokens^2 8-byte numbers."""

    @staticmethod
    def forward(ctx: FunctionCtx, bias_table: Tensor, codes: Tensor) -> Tensor:
        ctx.save_for_backward(codes)
        ctx.table_shape = bias_table.shape
        index = _index(codes, *bias_table.shape)
        table = bias_table.t().contiguous().expand(len(codes), -1, -1)
        tokens = codes.shape[1] + 1
        return table.gather(2, index).unflatten(2, (tokens, tokens))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_bias: Tensor) -> tuple[Tensor, None]:
        (codes,) = ctx.saved_tensors
        rows, heads = ctx.table_shape
        dtype = torch.promote_types(d_bias.dtype, torch.float32)
        d_table = d_bias.new_zeros(len(codes), heads, rows, dtype=dtype)
        d_table.scatter_add_(2, _index(codes, rows, heads), d_bias.flatten(2).to(dtype))
        return d_table.sum(0).t().to(d_bias.dtype), None


def _index(codes: Tensor, rows: int, heads: int) -> Tensor:
    everything = Tile(slice(0, codes.shape[1] + 1), groups=1)
    index = everything.bias_rows(functional.pad(codes, (1, 0)), rows)
    return index.flatten(1)[:, None].expand(-1, heads, -1)
