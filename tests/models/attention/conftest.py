"""Random attention inputs and a dense oracle: the full mask and the full bias, plain softmax."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from svitt_ego.models.attention import draw_pattern, position_codes, table_rows


@dataclass
class Case:
    """Inputs of one call of `attention`; frames, height and width are those of the bias table."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias_table: Tensor
    codes: Tensor
    kept: Tensor
    """(batch or 1, patches) original indices of the patches that are present."""
    grid: tuple[int, int, int]
    pattern: Tensor | None
    block_size: int | None

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        return self.q, self.k, self.v, self.bias_table

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        return *self.leaves, self.codes


@pytest.fixture
def make_case() -> Callable[..., Case]:
    def make(
        patches: int | None = None,
        sparsity: tuple[int, int, int] | None = None,
        *,
        batch: int = 2,
        heads: int = 3,
        head_dim: int = 8,
        grid: tuple[int, int, int] = (3, 4, 3),
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> Case:
        """`patches`: so many are kept, others in each sample; None: all, codes shared."""
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
        total = grid[0] * grid[1] * grid[2]
        kept = torch.arange(total)[None]
        if patches is not None:
            orders = [torch.randperm(total, generator=generator) for _ in range(batch)]
            kept = torch.stack([order[:patches].sort().values for order in orders])
        patches = kept.shape[1]
        qkv = draw(batch, 1 + patches, 3, heads, head_dim).permute(2, 0, 3, 1, 4)
        pattern, block_size = None, None
        if sparsity is not None:
            local, others, block_size = sparsity
            pattern = draw_pattern(-(-patches // block_size), local, others, (seed, 1))
        return Case(
            *(x.requires_grad_() for x in qkv.unbind(0)),
            bias_table=draw(table_rows(*grid), heads).requires_grad_(),
            codes=position_codes(*grid)[kept],
            kept=kept,
            grid=grid,
            pattern=pattern,
            block_size=block_size,
        )

    return make


@pytest.fixture
def oracle() -> Callable[[Case], tuple[Tensor, Tensor]]:
    return _oracle


def _oracle(case: Case) -> tuple[Tensor, Tensor]:
    """out and [CLS] scores, from coordinates instead of codes and masks instead of gathers."""
    frames, height, width = case.grid
    t, y, x = case.kept // (height * width), case.kept // width % height, case.kept % width
    dt, dy, dx = (c[:, :, None] - c[:, None, :] for c in (t, y, x))
    row = (dt + frames - 1) * (2 * height - 1) + dy + height - 1
    row = row * (2 * width - 1) + dx + width - 1
    tokens = 1 + case.kept.shape[1]
    rows = len(case.bias_table)
    index = torch.empty(len(case.kept), tokens, tokens, dtype=torch.long)
    index[:, 1:, 1:] = row
    index[:, 0, 1:], index[:, 1:, 0], index[:, 0, 0] = rows - 3, rows - 2, rows - 1
    scores = case.q @ case.k.mT / case.q.shape[-1] ** 0.5
    scores = scores + case.bias_table[index].permute(0, 3, 1, 2)
    if case.pattern is not None:
        sees = torch.zeros(tokens, tokens, dtype=torch.bool)
        sees[0], sees[:, 0] = True, True
        for query in range(1, tokens):
            for key in range(1, tokens):
                blocks = case.pattern[(query - 1) // case.block_size]
                sees[query, key] = (key - 1) // case.block_size in blocks
        scores = scores.masked_fill(~sees, float("-inf"))
    probabilities = scores.softmax(-1)
    out = (probabilities @ case.v).transpose(1, 2).flatten(2)
    return out, probabilities[:, :, 0, 1:].mean(1)
