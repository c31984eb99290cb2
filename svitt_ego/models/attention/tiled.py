"""Exact attention, dense or block-sparse, that never stores probabilities.

Queries are processed in tiles. A tile holds whole rows of the score matrix, so its softmax needs
nothing from other tiles, and the backward pass gets the probabilities back from q and k alone.
Between the passes only the inputs are kept: q, k, v, the bias table, the position codes and the
pattern; no probabilities, no log-sum-exp, no gathered keys, no pairwise bias or index.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from svitt_ego.models.attention.tiles import Tile, dense_tiles, sparse_tiles

TILE_SCORES = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Scores of a tile: on a CPU what its caches hold, on a GPU enough to keep it busy."""

LEAST_QUERIES = 64
"""Of a tile: rather than fewer queries, whose matrix products are slow, it takes fewer heads."""


def tiled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias_table: Tensor,
    codes: Tensor,
    pattern: Tensor | None = None,
    block_size: int | None = None,
) -> Tensor:
    """As `svitt_ego.models.attention.attention`, without [CLS] scores."""
    return _TiledAttention.apply(q, k, v, bias_table, codes, pattern, block_size)


@torch.no_grad()
def cls_attention(q: Tensor, k: Tensor, bias_table: Tensor, codes: Tensor) -> Tensor:
    """Attention probabilities of [CLS] to the patches, mean over heads: (batch, patches)."""
    q = q[:, :, :1]
    plan = _Plan(q, k, bias_table, codes)
    (tile,) = plan.tiles
    p = k.new_empty(*k.shape[:3], dtype=plan.dtype)
    for chunk in plan.chunks:
        queries, keys = tile.group(plan.widen(q[chunk])), tile.gather(plan.widen(k[chunk]))
        p[chunk] = plan.probabilities(queries, keys, plan.index(tile, chunk), chunk)[:, :, 0, 0]
    return p[:, :, 1:].mean(1).to(q.dtype)


class _TiledAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias_table: Tensor,
        codes: Tensor,
        pattern: Tensor | None,
        block_size: int | None,
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, bias_table, codes, pattern)
        ctx.block_size = block_size
        batch, heads, tokens, head_dim = q.shape
        plan = _Plan(q, k, bias_table, codes, pattern, block_size)
        out = q.new_empty(batch, tokens, heads, head_dim)
        for chunk in plan.chunks:
            queries, keys, values = (plan.widen(x[chunk]) for x in (q, k, v))
            result = out.transpose(1, 2)[chunk]
            for tile in plan.tiles:
                index = plan.index(tile, chunk)
                p = plan.probabilities(tile.group(queries), tile.gather(keys), index, chunk)
                tile.group(result).copy_(_product(p, tile.gather(values)))
        return out.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias_table, codes, pattern = ctx.saved_tensors
        plan = _Plan(q, k, bias_table, codes, pattern, ctx.block_size)
        d_out = d_out.unflatten(2, (q.shape[1], -1)).transpose(1, 2)
        dq = torch.empty_like(q)
        dk, dv = (torch.zeros_like(x, dtype=plan.sum_dtype) for x in (k, v))
        tables = min(len(codes), plan.samples)
        d_table = plan.table.new_zeros(tables, *plan.table.shape, dtype=plan.sum_dtype)
        for chunk in plan.chunks:
            queries, keys, values, d_result = (plan.widen(x[chunk]) for x in (q, k, v, d_out))
            for tile in plan.tiles:
                index = plan.index(tile, chunk)
                tile_q, tile_d = tile.group(queries), tile.group(d_result)
                tile_k = tile.gather(keys)
                p = plan.probabilities(tile_q, tile_k, index, chunk)
                tile.scatter_add(dv[chunk], _product(p.mT, tile_d))
                dp = _product(tile_d, tile.gather(values).mT)
                ds = torch._softmax_backward_data(dp, p, -1, p.dtype)
                del p, dp
                if ctx.needs_input_grad[3]:
                    d_bias = ds.flatten(2).to(plan.sum_dtype)
                    if len(index) < len(d_bias):
                        d_bias = d_bias.sum(0, keepdim=True)
                    d_table[:, chunk[1]].scatter_add_(2, index.expand(d_bias.shape), d_bias)
                ds *= plan.scale
                tile.group(dq[chunk]).copy_(_product(ds, tile_k))
                tile.scatter_add(dk[chunk], _product(ds.mT, tile_q))
        d_table = d_table.sum(0)[:, :-1].t().to(bias_table.dtype)
        return dq, dk.to(k.dtype), dv.to(v.dtype), d_table, None, None, None


class _Plan:
    """The tiles of one call, and what computing a tile needs beside q and k."""

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        bias_table: Tensor,
        codes: Tensor,
        pattern: Tensor | None = None,
        block_size: int | None = None,
    ) -> None:
        batch, heads, queries, head_dim = q.shape
        tokens = k.shape[2]
        self.scale = head_dim**-0.5
        self.sum_dtype = torch.promote_types(q.dtype, torch.float32)
        """Of softmax and sums over many scores."""
        self.dtype = q.dtype if q.is_cuda else self.sum_dtype
        """Of tiles. CPUs are slow at 2-byte numbers, GPUs are fast."""
        budget = TILE_SCORES["cuda" if q.is_cuda else "cpu"]
        row = tokens if pattern is None else 1 + pattern.shape[1] * block_size
        self.samples = max(1, min(batch, budget // (heads * queries * row)))
        parts = -(-heads * min(queries, LEAST_QUERIES) * row // budget)
        some_heads = -(-heads // parts)
        scores = budget // (self.samples * some_heads)
        if pattern is None:
            self.tiles = dense_tiles(queries, tokens, scores)
        else:
            self.tiles = sparse_tiles(pattern.to(q.device), block_size, tokens, scores)
        self.chunks = [
            (slice(i, min(i + self.samples, batch)), slice(j, min(j + some_heads, heads)))
            for i in range(0, batch, self.samples)
            for j in range(0, heads, some_heads)
        ]
        """Samples and heads that are computed together."""
        self.codes = functional.pad(codes, (1, 0))
        self.rows = len(bias_table)
        table = functional.pad(bias_table.t().to(self.dtype), (0, 1), value=float("-inf"))
        self.table = table.contiguous()
        """(heads, rows + 1): the last column is the bias where no key is."""

    def widen(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)

    def index(self, tile: Tile, chunk: tuple[slice, slice]) -> Tensor:
        """Columns of `table`: (samples or 1, 1, groups * size * keys)."""
        codes = self.codes if len(self.codes) == 1 else self.codes[chunk[0]]
        return tile.bias_rows(codes, self.rows).flatten(1)[:, None]

    def probabilities(
        self, q: Tensor, k: Tensor, index: Tensor, chunk: tuple[slice, slice]
    ) -> Tensor:
        """Of a tile's queries and keys: (samples, heads, groups, size, keys)."""
        batch, heads = q.shape[:2]
        table = self.table[chunk[1]].expand(batch, -1, -1)
        scores = table.gather(2, index.expand(batch, heads, -1))
        scores = scores.view(-1, q.shape[3], k.shape[3])
        scores.baddbmm_(q.flatten(0, 2), k.flatten(0, 2).mT, alpha=self.scale)
        return scores.view(*q.shape[:4], -1).softmax(-1, dtype=self.sum_dtype).to(self.dtype)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Batched matrix product of 5-D tensors; copies neither where strides allow."""
    return torch.bmm(a.flatten(0, 2), b.flatten(0, 2)).view(*a.shape[:4], -1)
