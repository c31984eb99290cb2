"""Self-attention of each position of a sequence to the few around it.

Queries are taken in blocks, and a block sees its own keys and those half a window to its sides:
one small dense product a block, so time and memory grow with the sequence's length, not its square.

B: rows; H: heads; T: positions; d: width of a head; n: blocks.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 32
"""Queries in a block: larger computes more that the mask then hides, smaller copies more keys."""


def local_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, window: int) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over the `window` positions around each query.

    Args:
        q, k, v: (B, H, T, d).
        mask: (B, T) bool, true where a position may be seen. A position always sees itself, so
            that no row of the softmax is empty.
        window: odd; (window - 1) / 2 positions on each side and the query's own.

    Returns:
        (B, H, T, d).
    """
    length, half = q.shape[2], window // 2
    blocks = -(-length // BLOCK)
    q = F.pad(q, (0, 0, 0, blocks * BLOCK - length)).unflatten(2, (blocks, BLOCK))
    around = (half, blocks * BLOCK - length + half)
    k, v = (_blocks_of(F.pad(x, (0, 0, *around)), half, dim=2) for x in (k, v))
    seen = _blocks_of(F.pad(mask, around), half, dim=1)  # (B, n, keys)
    distance = torch.arange(BLOCK + 2 * half, device=q.device) - half
    distance = distance - torch.arange(BLOCK, device=q.device)[:, None]  # (BLOCK, keys)
    visible = (distance.abs() <= half) & seen[:, :, None] | (distance == 0)
    out = F.scaled_dot_product_attention(
        *(x.transpose(1, 2).flatten(0, 1) for x in (q, k, v)),  # (B * n, H, ...)
        attn_mask=visible.flatten(0, 1)[:, None],
    )
    out = out.unflatten(0, (-1, blocks)).transpose(1, 2)
    return out.flatten(2, 3)[:, :, :length]


def _blocks_of(x: Tensor, half: int, dim: int) -> Tensor:
    """Overlapping blocks of BLOCK + 2 * half along `dim`, which gives way to (blocks, keys)."""
    return x.unfold(dim, BLOCK + 2 * half, BLOCK).movedim(-1, dim + 1)
