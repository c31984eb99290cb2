"""Exact attention, dense or block-sparse, that never stores probabilities.

Queries are processed in tiles. A tile holds whole rows of the score matrix, so its softmax needs
nothing from other tiles, and the backward pass gets the probabilities back from q and k alone.
Between the passes only the inputs are kept: q, k, v, the bias table, the position codes and the
pattern; no probabilities, no log-sum-exp, no gathered keys, no pairwise bias or index.
"""

from itertools import product

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from svitt_ego.cpu_features import cpu_computes_bf16
from svitt_ego.models.attention.tiles import Tile, dense_tiles, sparse_tiles

TILE_BYTES = {"cpu": 4 << 20, "cuda": 64 << 20}
"""Of the scores of a tile: on a CPU what its caches hold, on a GPU enough to keep it busy."""

LEAST_QUERIES = 64
"""Of a tile: fewer make slow matrix products."""

LEAST_HEADS = 4
"""Of a tile that holds no whole head: its index is made once for all its heads."""

Chunk = tuple[slice, slice]
"""Samples and heads."""


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
    """Attention probabilities of [CLS] to the patches, mean over heads: (batch, patches).

    At least fp32: in 2 bytes many would be equal, and chance would choose the tokens that stay.
    """
    q = q[:, :, :1].to(torch.promote_types(q.dtype, torch.float32))
    plan = _Plan(q, k, bias_table, codes)
    (tile,) = plan.tiles
    p = q.new_empty(k.shape[:3])
    for chunk in product(*plan.parts):
        queries, keys = tile.group(plan.take(q, chunk)), tile.gather(plan.take(k, chunk))
        p[chunk] = plan.probabilities(queries, keys, plan.index(tile, chunk), chunk)[:, :, 0, 0]
    return p[:, :, 1:].mean(1)


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
        for chunk in product(*plan.parts):
            queries, keys, values = (plan.take(x, chunk) for x in (q, k, v))
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
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        d_table = torch.zeros_like(plan.table)
        for chunk in product(*plan.parts):
            queries, keys, values, d_result = (plan.take(x, chunk) for x in (q, k, v, d_out))
            of_keys, of_values = (torch.zeros_like(x, dtype=plan.sum_dtype) for x in (keys, values))
            for tile in plan.tiles:
                index = plan.index(tile, chunk)
                tile_q, tile_d = tile.group(queries), tile.group(d_result)
                tile_k = tile.gather(keys)
                p = plan.probabilities(tile_q, tile_k, index, chunk)
                tile.scatter_add(of_values, _product(p.mT, tile_d))
                dp = _product(tile_d, tile.gather(values).mT)
                ds = torch._softmax_backward_data(dp, p, -1, p.dtype)
                del p, dp
                if ctx.needs_input_grad[3]:
                    plan.add_to_table(d_table, ds, index, chunk)
                ds *= plan.scale
                tile.group(dq[chunk]).copy_(_product(ds, tile_k))
                tile.scatter_add(of_keys, _product(ds.mT, tile_q))
            dk[chunk], dv[chunk] = of_keys, of_values
        d_table = d_table[:, :-1].t().to(bias_table.dtype)
        return dq, dk, dv, d_table, None, None, None


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
        """Of sums over many scores."""
        self.dtype = q.dtype if q.is_cuda or _computed_here(q.dtype) else self.sum_dtype
        """Of tiles. Softmax computes in `sum_dtype` whatever the type of its input and output."""
        device = "cuda" if q.is_cuda else "cpu"
        budget = TILE_BYTES[device] // self.dtype.itemsize
        row = tokens if pattern is None else 1 + pattern.shape[1] * block_size
        head = max(queries, head_dim) * row  # of few queries, the keys are larger than the scores
        # Whole heads first, so that a head's keys have their gradient from few tiles; then all
        # samples, which may share the bias; then more heads.
        samples = _even_share(batch, budget // head)
        at_once = budget // (samples * head) or LEAST_HEADS
        some_heads = _even_share(heads, at_once)
        scores = max(budget // (samples * some_heads), row * min(queries, LEAST_QUERIES))
        if pattern is None:
            self.tiles = dense_tiles(queries, tokens, scores)
        else:
            self.tiles = sparse_tiles(pattern.to(q.device), block_size, tokens, scores)
        self.parts = _parts(batch, samples), _parts(heads, some_heads)
        """Samples, and heads, that are computed together."""
        self.codes = functional.pad(codes, (1, 0))
        self.rows = len(bias_table)
        table = functional.pad(bias_table.t().to(self.sum_dtype), (0, 1), value=float("-inf"))
        self.table = table.contiguous()
        """(heads, rows + 1): the last column is the bias where no key is."""
        indices = len(self.codes[:samples]) * queries * row
        self._keeps_indices = indices * codes.itemsize <= TILE_BYTES[device]
        self._indexed: slice | None = None
        self._indices: dict[int, Tensor] = {}
        """Of the tiles of the samples `_indexed`, by their first query."""

    def take(self, x: Tensor, chunk: Chunk) -> Tensor:
        return x[chunk].to(self.dtype).contiguous()

    def index(self, tile: Tile, chunk: Chunk) -> Tensor:
        """Columns of `table`: (samples or 1, 1, groups * size * keys). One for all heads, so those
        of a tile's samples are kept for their other heads, if no larger than scores may be."""
        samples = chunk[0] if len(self.codes) > 1 else slice(0, 1)
        if self._indexed != samples:
            self._indexed, self._indices = samples, {}
        first = tile.queries.start
        if first in self._indices:
            return self._indices[first]
        index = tile.bias_rows(self.codes[samples], self.rows).flatten(1)[:, None]
        if self._keeps_indices:
            self._indices[first] = index
        return index

    def probabilities(self, q: Tensor, k: Tensor, index: Tensor, chunk: Chunk) -> Tensor:
        """Of a tile's queries and keys: (samples, heads, groups, size, keys)."""
        batch, heads = q.shape[:2]
        table = self.table[chunk[1]].expand(len(index), -1, -1)
        bias = table.gather(2, index.expand(-1, heads, -1))
        scores = q.new_empty(batch, heads, bias.shape[-1]).copy_(bias)
        scores = scores.view(-1, q.shape[3], k.shape[3])
        scores.baddbmm_(q.flatten(0, 2), k.flatten(0, 2).mT, alpha=self.scale)
        return scores.view(*q.shape[:4], -1).softmax(-1)

    def add_to_table(self, d_table: Tensor, ds: Tensor, index: Tensor, chunk: Chunk) -> None:
        """Add the gradients of a tile's scores where `probabilities` took the bias from."""
        d_bias = ds.flatten(2)
        if len(index) < len(d_bias):
            d_bias = d_bias.sum(0, keepdim=True, dtype=self.sum_dtype)
        for rows, gradient in zip(index, d_bias, strict=True):
            d_table[chunk[1]].scatter_add_(
                1, rows.expand(gradient.shape), gradient.to(self.sum_dtype)
            )


def _even_share(number: int, most: int) -> int:
    """Size of the parts, at most `most` but at least 1, that `number` falls into evenly."""
    parts = max(1, -(-number // max(1, most)))
    return max(1, -(-number // parts))


def _parts(number: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, number)) for i in range(0, number, size)]


def _computed_here(dtype: torch.dtype) -> bool:
    """Whether this CPU multiplies matrices of these numbers fast."""
    return dtype != torch.float16 and (dtype != torch.bfloat16 or cpu_computes_bf16())


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Batched matrix product of 5-D tensors; copies neither where strides allow."""
    return torch.bmm(a.flatten(0, 2), b.flatten(0, 2)).view(*a.shape[:4], -1)
