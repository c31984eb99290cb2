"""The text encoder: BERT's embeddings and first layers. B: texts; L: tokens; D: width."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from svitt_ego.config.schema import Recompute
from svitt_ego.config.schema import TextEncoder as TextRecipe
from svitt_ego.models.bert_layer import BertLayer
from svitt_ego.models.dropout import dropout
from svitt_ego.models.recompute import run_layer


class TextOutput(NamedTuple):
    """tokens: (B, L, D); pooled: (B, D), the [CLS] token (no pooler layer, as SViTT)."""

    tokens: Tensor
    pooled: Tensor


class TextEmbedding(nn.Module):
    def __init__(self, recipe: TextRecipe) -> None:
        super().__init__()
        self.word = nn.Embedding(recipe.vocabulary_size, recipe.width)
        self.position = nn.Embedding(recipe.max_positions, recipe.width)
        self.token_type = nn.Embedding(2, recipe.width)  # narrations are all of type 0
        self.norm = nn.LayerNorm(recipe.width, recipe.layer_norm_eps)
        self.dropout = recipe.dropout

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)"""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word(input_ids) + self.position(positions) + self.token_type.weight[0]
        return dropout(self.norm(x), self.dropout, self.training)


class TextEncoder(nn.Module):
    def __init__(self, recipe: TextRecipe, recompute: Recompute) -> None:
        super().__init__()
        self.recompute = recompute
        self.embedding = TextEmbedding(recipe)
        self.layers = nn.ModuleList(BertLayer(recipe) for _ in range(recipe.layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> TextOutput:
        """ids and mask (B, L), mask 1 where there is a token."""
        x = self.embedding(input_ids)
        mask = attention_mask.bool()
        for index, layer in enumerate(self.layers):
            x, _ = run_layer(self.recompute, index, layer, x, mask)
        return TextOutput(x, x[:, 0])
