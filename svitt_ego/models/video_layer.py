"""One layer of the video encoder: BEiT's pre-norm layer with layer scale over space-time tokens.

B: clips; N: patch tokens present; D: width; R: rows of the relative position bias table.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.schema import VideoEncoder as VideoRecipe
from svitt_ego.models.attention import attention, table_rows
from svitt_ego.models.drop_path import DropPath


class VideoAttention(nn.Module):
    """Self-attention with a 3-D relative position bias, dense or block-sparse by its pattern."""

    def __init__(self, recipe: VideoRecipe) -> None:
        super().__init__()
        width = recipe.width
        self.heads = recipe.heads
        self.materialise = recipe.dense_attention == "materialised"
        edge = recipe.edge_sparsity
        self.block_size = edge.block_size if edge else None
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(width))
        self.value_bias = nn.Parameter(torch.zeros(width))  # BEiT's keys have no bias
        rows = table_rows(recipe.max_frames, recipe.grid_size, recipe.grid_size)
        self.bias_table = nn.Parameter(torch.zeros(rows, recipe.heads))
        self.output = nn.Linear(width, width)

    def forward(
        self, x: Tensor, codes: Tensor, pattern: Tensor | None, need_cls_scores: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(B, 1 + N, D), codes (B or 1, N), pattern (blocks, K) or None for dense ->
        (B, 1 + N, D) and, if asked, [CLS] scores (B, N)."""
        bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.heads)
        out, cls_scores = attention(
            q,
            k,
            v,
            self.bias_table,
            codes,
            pattern=pattern,
            block_size=self.block_size,
            materialise=self.materialise,
            need_cls_scores=need_cls_scores,
        )
        return self.output(out), cls_scores


class VideoLayer(nn.Module):
    """x + drop_path(scale * attention(norm(x))), then the same with the MLP."""

    def __init__(self, recipe: VideoRecipe, drop_path: float) -> None:
        super().__init__()
        width, eps = recipe.width, recipe.layer_norm_eps
        self.attention_norm = nn.LayerNorm(width, eps)
        self.attention = VideoAttention(recipe)
        self.attention_scale = nn.Parameter(torch.full((width,), recipe.layer_scale))
        self.mlp_norm = nn.LayerNorm(width, eps)
        self.mlp_in = nn.Linear(width, recipe.mlp_width)
        self.mlp_out = nn.Linear(recipe.mlp_width, width)
        self.mlp_scale = nn.Parameter(torch.full((width,), recipe.layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Tensor, codes: Tensor, pattern: Tensor | None, need_cls_scores: bool
    ) -> tuple[Tensor, Tensor | None]:
        """As `VideoAttention.forward`."""
        attended, cls_scores = self.attention(
            self.attention_norm(x), codes, pattern, need_cls_scores
        )
        x = x + self.drop_path(self.attention_scale * attended)
        hidden = self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))
        return x + self.drop_path(self.mlp_scale * hidden), cls_scores
