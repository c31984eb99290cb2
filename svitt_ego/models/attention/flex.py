"""Dense attention on CUDA: PyTorch's fused FlexAttention, with the position bias as score_mod."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import flex_attention

from svitt_ego.models.attention.position import (
    CLS_TO_CLS,
    CLS_TO_PATCH,
    PATCH_TO_CLS,
    table_offset,
)


@cache
def compiled_kernel() -> Callable[..., Tensor]:
    return torch.compile(flex_attention)


def fused_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias_table: Tensor,
    codes: Tensor,
    kernel: Callable[..., Tensor],
) -> Tensor:
    """As `svitt_ego.models.attention.attention`, dense and without [CLS] scores.

    `kernel` is `flex_attention`, compiled unless the score matrix may be stored.
    """
    rows = bias_table.shape[0]
    offset = table_offset(rows)
    codes = functional.pad(codes, (1, 0)).expand(q.shape[0], -1).contiguous()
    # Tables get their gradient by atomic additions, which 2-byte numbers would round one by one.
    table = bias_table.t().to(torch.promote_types(bias_table.dtype, torch.float32)).contiguous()

    def add_bias(score: Tensor, b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        pair = codes[b, query] - codes[b, key] + offset
        to_cls = torch.where(query == 0, rows + CLS_TO_CLS, rows + PATCH_TO_CLS)
        row = torch.where(key == 0, to_cls, torch.where(query == 0, rows + CLS_TO_PATCH, pair))
        return score + table[h, row]

    return kernel(q, k, v, score_mod=add_bias).transpose(1, 2).flatten(2)
