"""Which blocks of keys each block of queries attends to."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from svitt_ego.config.schema import EdgeSparsity


def draw_pattern(
    blocks: int, local_blocks: int, random_blocks: int, seed: tuple[int, ...]
) -> Tensor:
    """Draw the pattern of one layer, a pure function of its arguments.

    Returns (blocks, local_blocks + random_blocks) int64 on the CPU. Row i holds the local blocks
    i - (local_blocks - 1) / 2 ... i + (local_blocks - 1) / 2, wrapping, then `random_blocks`
    others, uniformly drawn; all of a row are distinct.
    """
    assert local_blocks % 2 == 1 and local_blocks + random_blocks <= blocks
    reach = (local_blocks - 1) // 2
    own = np.arange(blocks)[:, None]
    local = (own + np.arange(-reach, reach + 1)) % blocks
    draws = np.random.default_rng(seed).random((blocks, blocks))
    np.put_along_axis(draws, local, 2.0, axis=1)  # beyond every draw: never among the random
    others = np.argsort(draws, axis=1)[:, :random_blocks]
    return torch.from_numpy(np.concatenate([local, others], axis=1))


def draw_patterns(
    edge: EdgeSparsity | None, token_counts: Sequence[int], seed: int, step: int
) -> tuple[Tensor | None, ...]:
    """Draw the patterns of all layers for one step.

    `token_counts` holds the number of patch tokens that each layer sees. None stands for dense
    attention: without edge sparsity, or where fewer blocks are left than a row would name.
    """
    patterns: list[Tensor | None] = []
    for layer, tokens in enumerate(token_counts):
        pattern = None
        if edge is not None:
            blocks = -(-tokens // edge.block_size)
            if blocks >= edge.local_blocks + edge.random_blocks:
                pattern = draw_pattern(
                    blocks, edge.local_blocks, edge.random_blocks, (seed, step, layer)
                )
        patterns.append(pattern)
    return tuple(patterns)
