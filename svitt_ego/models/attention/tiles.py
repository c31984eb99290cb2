"""How attention is cut into pieces small enough to hold their scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from svitt_ego.models.attention.position import (
    CLS_TO_CLS,
    CLS_TO_PATCH,
    PATCH_TO_CLS,
    table_offset,
)


@dataclass(frozen=True)
class Tile:
    """Groups of consecutive queries; the queries of a group share their keys."""

    queries: slice
    """Tokens: `groups` groups of equal size, one after the other."""
    groups: int
    keys: Tensor | None = None
    """(groups, keys of a group) tokens, [CLS] first; None: every token."""
    padding: Tensor | None = None
    """(groups, keys of a group), true where `keys` names no token; None: nowhere."""

    def group(self, x: Tensor) -> Tensor:
        """The queries out of (batch, heads, tokens, d): (batch, heads, groups, size, d)."""
        return x[:, :, self.queries].unflatten(2, (self.groups, -1))

    def gather(self, x: Tensor) -> Tensor:
        """The keys out of (batch, heads, tokens, d): (batch, heads, groups, keys, d)."""
        if self.keys is None:
            return x[:, :, None]
        rows = x.flatten(0, 2).index_select(0, self._rows(x))
        return rows.view(*x.shape[:2], *self.keys.shape, -1)

    def scatter_add(self, total: Tensor, parts: Tensor) -> None:
        """Add `parts`, shaped like the result of `gather`, where `gather` took them from.

        total: (batch, heads, tokens, d), contiguous.
        """
        if self.keys is None:
            total += parts.squeeze(2)
        else:
            rows = total.view(-1, total.shape[-1])
            rows.index_add_(0, self._rows(total), parts.flatten(0, 3).to(total.dtype))

    def _rows(self, x: Tensor) -> Tensor:
        """Of all samples and heads, one after the other: whole rows of a matrix move several
        times faster than slices of a middle dimension."""
        first = torch.arange(x.shape[0] * x.shape[1], device=x.device) * x.shape[2]
        return (first[:, None] + self.keys.flatten()).flatten()

    def bias_rows(self, codes: Tensor, rows: int) -> Tensor:
        """Rows of a bias table of `rows` rows for all pairs; `rows` itself where no key is.

        codes: (batch, tokens) position codes, that of [CLS] is ignored. Returns (batch, groups,
        size, keys) int64.
        """
        queries = codes[:, self.queries].unflatten(1, (self.groups, -1))
        keys = codes[:, None] if self.keys is None else codes[:, self.keys]
        index = (queries + table_offset(rows))[..., None] - keys[..., None, :]
        index[..., 0] = rows + PATCH_TO_CLS
        if self.queries.start == 0:
            index[:, 0, 0] = rows + CLS_TO_PATCH
            index[:, 0, 0, 0] = rows + CLS_TO_CLS
        if self.padding is not None:
            index.masked_fill_(self.padding[:, None], rows)
        return index


def dense_tiles(queries: int, tokens: int, scores: int) -> list[Tile]:
    """The first `queries` tokens see all. A tile has at most `scores` scores, or one query."""
    size = max(1, scores // tokens)
    return [Tile(slice(i, min(i + size, queries)), groups=1) for i in range(0, queries, size)]


def sparse_tiles(pattern: Tensor, block_size: int, tokens: int, scores: int) -> list[Tile]:
    """[CLS], which sees every token; whole blocks; the shorter block at the end, if there is one.

    pattern: (blocks, K). A tile has at most `scores` scores, or one block.
    """
    blocks = len(pattern)
    whole, rest = divmod(tokens - 1, block_size)
    inside = torch.arange(block_size, device=pattern.device)
    keys = (1 + pattern[:, :, None] * block_size + inside).flatten(1)
    keys = torch.cat([keys.new_zeros(blocks, 1), keys], dim=1)
    padding = None
    if rest:
        padding = keys >= tokens
        keys = keys.masked_fill(padding, 0)
    groups = max(1, scores // (block_size * keys.shape[1]))
    tiles = [Tile(slice(0, 1), groups=1)]
    for first in [*range(0, whole, groups), *range(whole, blocks)]:
        last = min(first + groups, whole) if first < whole else blocks
        queries = slice(1 + first * block_size, min(1 + last * block_size, tokens))
        chosen = slice(first, last)
        tiles.append(Tile(queries, last - first, keys[chosen], padding[chosen] if rest else None))
    return tiles
