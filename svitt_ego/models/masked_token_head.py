"""BERT's prediction head; the decoder's weight is the word embedding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.models.linear_cross_entropy import linear_cross_entropy


class MaskedTokenHead(nn.Module):
    def __init__(self, width: int, vocabulary_size: int, eps: float) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def forward(self, hidden: Tensor, word_embedding: Tensor) -> Tensor:
        """(n, D), (vocabulary, D) -> (n, vocabulary)"""
        return F.linear(self._transformed(hidden), word_embedding, self.bias)

    def loss(self, hidden: Tensor, labels: Tensor, word_embedding: Tensor) -> Tensor:
        """Mean cross-entropy of the logits, which are never held: (n, D), (n,) -> scalar."""
        return linear_cross_entropy(self._transformed(hidden), word_embedding, self.bias, labels)

    def _transformed(self, hidden: Tensor) -> Tensor:
        return self.norm(F.gelu(self.transform(hidden)))
