"""Exact attention, dense or block-sparse, that never stores probabilities.

Queries are processed in tiles: groups of queries that share a list of keys. A tile holds whole rows
of the score matrix, so its softmax needs nothing from other tiles, and the backward pass gets the
probabilities back from q and k alone. Between the passes only the inputs are kept (q, k, v, the
bias table and the position codes): no probabilities, no log-sum-exp, no gathered keys, no bias.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from svitt_ego.models.attention.position import CLS_ROWS, table_offset

TILE_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Most scores held at once: on a CPU what the caches hold, on a GPU enough to fill the machine."""


@dataclass(frozen=True)
class Tile:
    """`groups` groups of `size` consecutive queries; the queries of a group share their keys."""

    start: int
    """Token of the first query."""
    groups: int
    size: int
    keys: Tensor | None
    """(groups, keys of a group) tokens, [CLS] first; None: every token."""
    padding: Tensor | None = None
    """(groups, keys of a group), true where there is no key."""

    @property
    def queries(self) -> slice:
        return slice(self.start, self.start + self.groups * self.size)


def dense_tiles(tokens: int, elements: int) -> Iterator[Tile]:
    """Tiles in which each query sees each token; `elements` scores at most, if one row is less."""
    size = max(1, elements // tokens)
    for start in range(0, tokens, size):
        yield Tile(start, 1, min(size, tokens - start), None)


def sparse_tiles(pattern: Tensor, block_size: int, tokens: int, elements: int) -> Iterator[Tile]:
    """The tile of [CLS], which sees every token, then tiles of query blocks."""
    yield Tile(0, 1, 1, None)
    blocks, slots = pattern.shape
    inside = torch.arange(block_size, device=pattern.device)
    keys = (1 + pattern[:, :, None] * block_size + inside).flatten(1)
    keys = torch.cat([keys.new_zeros(blocks, 1), keys], 1)
    padding = keys >= tokens
    keys = keys.masked_fill(padding, 0)
    groups = max(1, elements // (block_size * keys.shape[1]))
    for first in range(0, blocks, groups):
        chosen = slice(first, min(first + groups, blocks))
        start = 1 + first * block_size
        yield Tile(start, chosen.stop - first, block_size, keys[chosen], padding[chosen])


def bias_rows(tile: Tile, codes: Tensor, rows: int, tokens: int) -> Tensor:
    """Rows of the bias table: (batch or 1, groups, queries, keys); row `rows` where no key is.

    codes: (batch or 1, tokens) position codes; those of [CLS] and of padding mean nothing.
    """
    queries = codes[:, tile.queries].unflatten(1, (tile.groups, tile.size))
    keys = codes[:, None, :tokens] if tile.keys is None else codes[:, tile.keys]
    index = (queries + table_offset(rows))[..., None] - keys[..., None, :]
    index[..., 0] = rows - CLS_ROWS + 1
    if tile.start == 0:
        index[:, 0, 0] = rows - CLS_ROWS
        index[:, 0, 0, 0] = rows - CLS_ROWS + 2
    if tile.padding is not None:
        index.masked_fill_(tile.padding[:, None], rows)
    return index


def probabilities(q: Tensor, k: Tensor, table: Tensor, index: Tensor) -> Tensor:
    """q: (batch, heads, groups, queries, d), scaled; k: (batch, heads, groups, keys, d); table:
    (heads, rows + 1); index: (batch or 1, groups, queries, keys). Returns all but d."""
    batch, heads, groups, queries, _ = q.shape
    index = index.flatten(1)[:, None].expand(batch, heads, -1)
    scores = table.expand(batch, -1, -1).gather(2, index)
    scores = scores.view(batch * heads * groups, queries, k.shape[3])
    scores.baddbmm_(q.flatten(0, 2), k.flatten(0, 2).transpose(1, 2))
    dtype = torch.promote_types(scores.dtype, torch.float32)
    return scores.softmax(-1, dtype=dtype).to(scores.dtype).view(batch, heads, groups, queries, -1)


class Workspace:
    """One chunk of samples in the layout and precision that tiles are computed in."""


def compute_dtype(x: Tensor) -> torch.dtype:
    """CPUs multiply 2-byte numbers slowly, so there tiles are widened; GPUs want them narrow."""
    return torch.promote_types(x.dtype, torch.float32) if x.device.type == "cpu" else x.dtype


def select(x: Tensor, tile: Tile) -> Tensor:
    """Keys or values of a tile: (batch, heads, tokens, d) -> (batch, heads, groups, keys, d)."""
    if tile.keys is None:
        return x[:, :, None]
    return x.index_select(2, tile.keys.flatten()).unflatten(2, tile.keys.shape)


def padded(x: Tensor, tokens: int) -> Tensor:
    """(batch, heads, n, d) -> contiguous (batch, heads, tokens, d), in the dtype of tiles."""
    result = x.new_zeros(*x.shape[:2], tokens, x.shape[3], dtype=compute_dtype(x))
    result[:, :, : x.shape[2]] = x
    return result


class TiledAttention(torch.autograd.Function):
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
        need_cls_scores: bool,
    ) -> tuple[Tensor, Tensor | None]:
        batch, heads, tokens, head_dim = q.shape
        ctx.save_for_backward(q, k, v, bias_table, codes, pattern)
        ctx.block_size = block_size
        plan = Plan(q, bias_table, codes, pattern, block_size)
        out = q.new_empty(batch, tokens, heads, head_dim)
        cls_scores = q.new_empty(batch, tokens - 1) if need_cls_scores else None
        for samples in plan.chunks:
            queries = padded(q[samples], plan.padded_tokens).mul_(head_dim**-0.5)
            keys, values = padded(k[samples], tokens), padded(v[samples], tokens)
            result = torch.empty_like(queries)
            for tile in plan.tiles:
                p = plan.probabilities(tile, samples, queries, keys)
                product = p.flatten(0, 2) @ select(values, tile).flatten(0, 2)
                result[:, :, tile.queries] = product.view(*p.shape[:2], -1, head_dim)
                if need_cls_scores and tile.start == 0:
                    cls_scores[samples] = p[:, :, 0, 0, 1:].mean(1)
            out[samples] = result[:, :, :tokens].transpose(1, 2)
        if need_cls_scores:
            ctx.mark_non_differentiable(cls_scores)
        return out.flatten(2), cls_scores

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, bias_table, codes, pattern = ctx.saved_tensors
        batch, heads, tokens, head_dim = q.shape
        plan = Plan(q, bias_table, codes, pattern, ctx.block_size)
        d_out = d_out.unflatten(2, (heads, head_dim)).transpose(1, 2)
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        d_table = torch.zeros_like(plan.table)
        for samples in plan.chunks:
            queries = padded(q[samples], plan.padded_tokens).mul_(head_dim**-0.5)
            keys, values = padded(k[samples], tokens), padded(v[samples], tokens)
            d_result = padded(d_out[samples], plan.padded_tokens)
            d_queries = torch.empty_like(queries)
            d_keys, d_values = torch.zeros_like(keys), torch.zeros_like(values)
            for tile in plan.tiles:
                index = plan.index(tile, samples)
                tile_q = plan.group(queries, tile).flatten(0, 2)
                tile_k, tile_v = (select(x, tile).flatten(0, 2) for x in (keys, values))
                tile_d = plan.group(d_result, tile).flatten(0, 2)
                p = plan.probabilities(tile, samples, queries, keys).flatten(0, 2)
                accumulate(d_values, tile, p.transpose(1, 2) @ tile_d)
                ds = torch._softmax_backward_data(tile_d @ tile_v.transpose(1, 2), p, -1, p.dtype)
                del p
                d_queries[:, :, tile.queries] = (ds @ tile_k).view(
                    len(queries), heads, -1, head_dim
                )
                accumulate(d_keys, tile, ds.transpose(1, 2) @ tile_q)
                ds = ds.view(len(queries), heads, -1)
                d_table.scatter_add_(1, index.view(1, -1).expand(heads, -1), ds[0])
            dq[samples] = d_queries[:, :, :tokens].mul_(head_dim**-0.5)
            dk[samples], dv[samples] = d_keys, d_values
        return dq, dk, dv, d_table[:, :-1].t().to(bias_table.dtype), None, None, None, None


def accumulate(total: Tensor, tile: Tile, part: Tensor) -> None:
    batch, heads, _, head_dim = total.shape
    part = part.view(batch, heads, -1, head_dim)
    if tile.keys is None:
        total += part
    else:
        total.index_add_(2, tile.keys.flatten(), part)


class Plan:
    def __init__(self, q, bias_table, codes, pattern, block_size):
        batch, heads, tokens, _ = q.shape
        self.table = torch.nn.functional.pad(
            bias_table.t().to(compute_dtype(q)), (0, 1), value=float("-inf")
        ).contiguous()
        elements = TILE_ELEMENTS[q.device.type] // heads
        self.tokens = tokens
        self.rows = bias_table.shape[0]
        if pattern is None:
            self.padded_tokens = tokens
            self.tiles = list(dense_tiles(tokens, elements))
        else:
            self.padded_tokens = 1 + pattern.shape[0] * block_size
            self.tiles = list(sparse_tiles(pattern.to(q.device), block_size, tokens, elements))
        self.codes = torch.nn.functional.pad(codes, (1, self.padded_tokens - tokens))
        self.chunks = [slice(i, i + 1) for i in range(batch)]

    def index(self, tile, samples):
        return bias_rows(
            tile,
            self.codes if len(self.codes) == 1 else self.codes[samples],
            self.rows,
            self.tokens,
        )

    def group(self, x, tile):
        return x[:, :, tile.queries].unflatten(2, (tile.groups, tile.size))

    def probabilities(self, tile, samples, q, k):
        index = self.index(tile, samples)
        return probabilities(self.group(q, tile), select(k, tile), self.table, index)
