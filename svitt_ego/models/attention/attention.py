"""Attention of [CLS] and patch tokens: one function, several ways to compute the same values."""

from torch import Tensor

from svitt_ego.models.attention.flex import compiled_kernel, fused_attention
from svitt_ego.models.attention.materialised import materialised_attention
from svitt_ego.models.attention.tiled import cls_attention, tiled_attention


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
    """softmax(q k^T / sqrt(head_dim) + position bias) v, over all keys or those of a pattern.

    q, k, v: (batch, heads, 1 + patches, head_dim), [CLS] first, views of any strides: their
    storage is what is kept for the backward pass. bias_table: (rows, heads), see `table_rows`.
    codes: (batch or 1, patches) `position_codes` of the patches that are present.

    pattern: (blocks, K) from `draw_pattern`: the patches of query block i, `block_size`
    consecutive ones, attend to [CLS] and the patches of the blocks pattern[i]; [CLS] attends to
    everything. None: all attend to everything; then `materialise` chooses to keep the
    probabilities for the backward pass, as BEiT does, instead of computing them again.

    Returns out (batch, 1 + patches, heads * head_dim), contiguous as a projection wants it, and
    if `need_cls_scores` the attention probability of [CLS] to each patch, mean over heads,
    (batch, patches), at least fp32, without gradient.
    """
    if pattern is not None:
        blocks = -(-codes.shape[1] // block_size)
        assert pattern.shape[0] == blocks, f"pattern of {pattern.shape[0]} blocks, not {blocks}"
    if pattern is None and materialise:
        out = materialised_attention(q, k, v, bias_table, codes)
    elif pattern is None and q.is_cuda:
        out = fused_attention(q, k, v, bias_table, codes, compiled_kernel())
    else:
        out = tiled_attention(q, k, v, bias_table, codes, pattern, block_size)
    return out, cls_attention(q, k, bias_table, codes) if need_cls_scores else None
