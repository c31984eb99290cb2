"""One layer of the video encoder: BEiT's pre-norm layer with layer scale over space-time tokens.

Stored for the backward pass, in widths of the tokens: the layer's input (1), queries, keys and
values (3), what attention makes of them (1), the input of the MLP's branch (1), the MLP before
its GELU (4 with BEiT's ratio). LayerNorms and GELUs are computed again, branches are not stored.

B: clips; N: patch tokens present; D: width; R: rows of the relative position bias table.
"""

from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.schema import VideoEncoder as VideoRecipe
from svitt_ego.models.attention import attention, table_rows
from svitt_ego.models.drop_path import DropPath
from svitt_ego.models.recompute import call_plainly
from svitt_ego.models.recomputed_linear import identity, recomputed_linear


class VideoAttention(nn.Module):
    """The parameters of self-attention with a 3-D relative position bias."""

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
        self,
        x: Tensor,
        codes: Tensor,
        pattern: Tensor | None,
        need_cls_scores: bool,
        call: Callable = call_plainly,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, 1 + N, D), codes (B or 1, N), pattern (blocks, K) or None for dense ->
        (B, 1 + N, D) and, if asked, [CLS] scores (B, N)."""
        attended, cls_scores = call(self._attend, x, codes, pattern, need_cls_scores)
        x = x + self.drop_path(attended)
        hidden = _linear_of_norm(x, self.mlp_norm, self.mlp_in.weight, self.mlp_in.bias)
        branch = recomputed_linear(
            F.gelu, (hidden,), self.mlp_out.weight, self.mlp_out.bias, self.mlp_scale
        )
        return x + self.drop_path(branch), cls_scores

    def _attend(
        self, x: Tensor, codes: Tensor, pattern: Tensor | None, need_cls_scores: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The attention branch, scaled."""
        part = self.attention
        # BEiT's keys have no bias
        bias = torch.cat([part.query_bias, torch.zeros_like(part.query_bias), part.value_bias])
        qkv = _linear_of_norm(x, self.attention_norm, part.qkv.weight, bias)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=part.heads)
        out, cls_scores = attention(
            q,
            k,
            v,
            part.bias_table,
            codes,
            pattern=pattern,
            block_size=part.block_size,
            materialise=part.materialise,
            need_cls_scores=need_cls_scores,
        )
        output = part.output
        branch = recomputed_linear(
            identity, (out,), output.weight, output.bias, self.attention_scale
        )
        return branch, cls_scores


def _linear_of_norm(x: Tensor, norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> Tensor:
    normalise = partial(_layer_norm, eps=norm.eps)
    return recomputed_linear(normalise, (x, norm.weight, norm.bias), weight, bias)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
