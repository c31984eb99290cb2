"""Attention of [CLS] and patch tokens: one function, three ways to compute it."""

import torch
from torch import Tensor

from svitt_ego.models.attention.position import table_offset


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias_table: Tensor,
    codes: Tensor,
    *,
    pattern: Tensor | None = None,
    block_size: int | None = None,
    materialise: bool = False,
    need_cls_scores: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(q k^T / sqrt(head_dim) + position bias) v.

    q, k, v: (batch, heads, 1 + patches, head_dim), [CLS] first, any strides. bias_table: (rows,
    heads). codes: (batch or 1, patches) position codes of the patches. pattern: (blocks, K), None
    is dense. Returns out (batch, 1 + patches, heads * head_dim), and, if asked for, the attention
    probability of [CLS] to each patch, mean over heads, (batch, patches), without gradient.
    """
    batch, heads, tokens, head_dim = q.shape
    bias = full_bias(bias_table, codes)
    if pattern is not None:
        bias = bias.masked_fill(~pattern_mask(pattern, tokens - 1, block_size), float("-inf"))
    scores = (q * head_dim**-0.5) @ k.transpose(-1, -2) + bias
    probabilities = scores.softmax(-1)
    out = (probabilities @ v).transpose(1, 2).reshape(batch, tokens, heads * head_dim)
    cls_scores = probabilities[:, :, 0, 1:].detach().mean(1) if need_cls_scores else None
    return out, cls_scores


def full_bias(bias_table: Tensor, codes: Tensor) -> Tensor:
    rows = bias_table.shape[0]
    index = codes.new_empty(codes.shape[0], codes.shape[1] + 1, codes.shape[1] + 1)
    index[:, 1:, 1:] = codes[:, :, None] - codes[:, None, :] + table_offset(rows)
    index[:, 0, :], index[:, :, 0], index[:, 0, 0] = rows - 3, rows - 2, rows - 1
    return bias_table[index].permute(0, 3, 1, 2)


def pattern_mask(pattern: Tensor, patches: int, block_size: int) -> Tensor:
    blocks = pattern.shape[0]
    allowed = torch.zeros(blocks, blocks, dtype=torch.bool).scatter(1, pattern, True)
    allowed = allowed.repeat_interleave(block_size, 0).repeat_interleave(block_size, 1)
    mask = torch.ones(1 + patches, 1 + patches, dtype=torch.bool)
    mask[1:, 1:] = allowed[:patches, :patches]
    return mask
