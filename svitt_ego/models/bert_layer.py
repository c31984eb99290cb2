"""BERT's post-norm layer, with optional cross-attention to video tokens.

Attention stores no probabilities, the MLP only what enters its GELU, dropout one byte a value.

B: texts; V: videos; L: text tokens; S: source tokens; D: width of the text, E: of the source.
"""

from collections.abc import Callable

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.schema import TextEncoder as TextRecipe
from svitt_ego.models.dropout import dropout
from svitt_ego.models.recompute import call_plainly
from svitt_ego.models.recomputed_linear import recomputed_linear
from svitt_ego.models.short_attention import short_attention


class BertAttention(nn.Module):
    """Self- or cross-attention with its output projection, dropout, residual and LayerNorm."""

    def __init__(self, recipe: TextRecipe, source_width: int | None = None) -> None:
        super().__init__()
        width = recipe.width
        self.heads = recipe.heads
        self.dropout = recipe.dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(source_width or width, width)
        self.value = nn.Linear(source_width or width, width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, recipe.layer_norm_eps)

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        mask: Tensor | None = None,
        source_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """x (B, L, D), source (V, S, E); mask (B, S) bool or None: all are seen; source_index (B,)
        or None: text i sees source i -> (B, L, D) and [CLS] scores (B, S)."""
        q, k, v = (
            rearrange(projected, "b n (h d) -> b h n d", h=self.heads)
            for projected in (self.query(x), self.key(source), self.value(source))
        )
        rate = self.dropout if self.training else 0.0
        attended, cls_scores = short_attention(
            q, k, v, mask=mask, source_index=source_index, dropout=rate
        )
        return self.norm(x + dropout(self.output(attended), rate, self.training)), cls_scores


class BertLayer(nn.Module):
    """Self-attention, cross-attention (fusion layers only), MLP."""

    def __init__(self, recipe: TextRecipe, video_width: int | None = None) -> None:
        super().__init__()
        width = recipe.width
        self.dropout = recipe.dropout
        self.attention = BertAttention(recipe)
        self.cross_attention = BertAttention(recipe, video_width) if video_width else None
        self.mlp_in = nn.Linear(width, recipe.mlp_width)
        self.mlp_out = nn.Linear(recipe.mlp_width, width)
        self.norm = nn.LayerNorm(width, recipe.layer_norm_eps)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        video_tokens: Tensor | None = None,
        video_index: Tensor | None = None,
        call: Callable = call_plainly,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, L, D), mask (B, L) bool, video tokens (V, S, E), video index (B,) or None ->
        (B, L, D) and, with cross-attention, the text [CLS]'s attention to the video (B, S)."""
        x, _ = call(self.attention, x, x, mask)
        cls_scores = None
        if self.cross_attention is not None:
            x, cls_scores = call(self.cross_attention, x, video_tokens, None, video_index)
        hidden = recomputed_linear(
            F.gelu, (self.mlp_in(x),), self.mlp_out.weight, self.mlp_out.bias
        )
        return self.norm(x + dropout(hidden, self.dropout, self.training)), cls_scores
