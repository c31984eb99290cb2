"""Cross-entropy of a large vocabulary without its logits.

n tokens times 30 522 words in fp32, with their softmax and gradient, would be the largest tensors
of the text side. Here the vocabulary is walked through in slices, twice: forward for the log of
the softmax's denominator, backward for the gradients. Stored are the hidden states, the labels and
one number for each token.

n: tokens; D: width; V: vocabulary.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

LOGITS_AT_ONCE = 1 << 21
"""Largest slice of logits, in elements."""


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Mean over tokens of cross_entropy(linear(hidden, weight, bias), labels), in fp32 (fp64 for
    fp64); 0 with zero gradients where there is no token.

    Args:
        hidden: (n, D).
        weight, bias: (V, D), (V,).
        labels: (n,) int64.
    """
    return _LinearCrossEntropy.apply(hidden, weight, bias, labels)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor
    ) -> Tensor:
        precision = torch.promote_types(hidden.dtype, torch.float32)
        log_sum = torch.full_like(labels, -torch.inf, dtype=precision)
        of_label = torch.zeros_like(log_sum)
        for words in _slices(hidden, weight):
            logits = _logits(hidden, weight, bias, words)
            log_sum = torch.logaddexp(log_sum, logits.logsumexp(dim=1))
            place, here = _place(labels, words)
            of_label += logits.gather(1, place[:, None]).squeeze(1) * here
        ctx.save_for_backward(hidden, weight, bias, labels, log_sum)
        return (log_sum - of_label).sum() / max(len(labels), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, labels, log_sum = ctx.saved_tensors
        d_hidden = torch.zeros_like(hidden, dtype=log_sum.dtype)
        d_weight, d_bias = torch.empty_like(weight), torch.empty_like(bias)
        share = d_loss.to(log_sum.dtype) / max(len(labels), 1)
        for words in _slices(hidden, weight):
            d_logits = (_logits(hidden, weight, bias, words) - log_sum[:, None]).exp_()
            place, here = _place(labels, words)
            d_logits.scatter_add_(1, place[:, None], -here[:, None].to(d_logits.dtype))
            d_logits *= share
            d_bias[words] = d_logits.sum(0)
            d_logits = d_logits.to(hidden.dtype)
            d_weight[words] = d_logits.mT @ hidden
            d_hidden += d_logits @ weight[words]
        return d_hidden.to(hidden.dtype), d_weight, d_bias, None


def _slices(hidden: Tensor, weight: Tensor) -> list[slice]:
    words = max(1, LOGITS_AT_ONCE // max(len(hidden), 1))
    return [slice(i, min(i + words, len(weight))) for i in range(0, len(weight), words)]


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor, words: slice) -> Tensor:
    precision = torch.promote_types(hidden.dtype, torch.float32)
    return F.linear(hidden, weight[words], bias[words]).to(precision)


def _place(labels: Tensor, words: slice) -> tuple[Tensor, Tensor]:
    """Each label's column in the slice, 0 where it has none there, and whether it has one."""
    here = (labels >= words.start) & (labels < words.stop)
    return (labels - words.start).where(here, 0), here
