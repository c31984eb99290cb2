"""Attention of short texts, to themselves or to video tokens, that stores no probabilities.

A text has some 30 tokens, so the probabilities are quickly computed again in the backward pass.
Stored are q, k, v and, where there is dropout, one byte for each probability. Several texts may
attend to the same video: keys and values are computed and stored once for each video, not once
for each pair.

B: texts; V: sources (videos, or the texts themselves); L: text tokens; S: source tokens;
H: heads; d: width of a head.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from svitt_ego.models.dropout import drop_again, drop_elements


def short_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    source_index: Tensor | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(d)) v

    Args:
        q: (B, H, L, d).
        k, v: (V, H, S, d).
        mask: (B, S) bool, true where a source token may be seen; None: everywhere.
        source_index: (B,) int64, the source of each text; None: text i has source i.
        dropout: rate for the probabilities.

    Returns:
        (B, L, H * d), and the probabilities of the first text token, [CLS], mean over heads and
        before dropout, (B, S), at least fp32, without gradient.
    """
    return _ShortAttention.apply(q, k, v, mask, source_index, dropout)


class _ShortAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        source_index: Tensor | None,
        dropout: float,
    ) -> tuple[Tensor, Tensor]:
        # laid out head by head, so that neither picking nor the products have to
        q, k, v = (x.contiguous() for x in (q, k, v))
        logits = _logits(q, _pick(k, source_index), mask)
        cls_logits = logits[:, :, 0].to(torch.promote_types(q.dtype, torch.float32))
        cls_scores = cls_logits.softmax(-1).mean(1)  # 2 bytes would make many of them equal
        p = logits.softmax(-1)
        kept = None
        if dropout:
            p, kept = drop_elements(p, dropout)
        out = (p @ _pick(v, source_index)).transpose(1, 2).flatten(2)
        ctx.dropout = dropout
        ctx.save_for_backward(q, k, v, mask, source_index, kept)
        ctx.mark_non_differentiable(cls_scores)
        return out, cls_scores

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, source_index, kept = ctx.saved_tensors
        keys = _pick(k, source_index)
        p = _logits(q, keys, mask).softmax(-1)  # in fp32 inside, also of 2-byte numbers
        d_out = d_out.unflatten(2, (q.shape[1], -1)).transpose(1, 2)
        d_p = d_out @ _pick(v, source_index).mT
        seen = p
        if kept is not None:
            seen, d_p = (drop_again(x, kept, ctx.dropout) for x in (p, d_p))
        d_v = _collect(seen.mT @ d_out, v, source_index)
        d_logits = torch._softmax_backward_data(d_p, p, -1, p.dtype) * q.shape[-1] ** -0.5
        d_k = _collect(d_logits.mT @ q, k, source_index)
        return d_logits @ keys, d_k, d_v, None, None, None


def _logits(q: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
    logits = (q * q.shape[-1] ** -0.5) @ keys.mT
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None], float("-inf"))
    return logits


def _pick(x: Tensor, source_index: Tensor | None) -> Tensor:
    return x if source_index is None else x.index_select(0, source_index)


def _collect(of_texts: Tensor, x: Tensor, source_index: Tensor | None) -> Tensor:
    """Sum of what several texts have for one source, in fp32 for 2-byte numbers."""
    if source_index is None:
        return of_texts
    total = torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
    return total.index_add_(0, source_index, of_texts.to(total.dtype)).to(x.dtype)
