"""BERT's post-norm layer, with optional cross-attention to video tokens.

B: samples; L: text tokens; S: video tokens; D: width of the text, E: of the video.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.schema import TextEncoder as TextRecipe


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

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B, L, D), source (B, S, E), mask (B, S) bool or None: all are seen -> (B, L, D) and
        the keys (B, heads, S, d), from which `cls_scores` are computed where they are needed."""
        q = rearrange(self.query(x), "b l (h d) -> b h l d", h=self.heads)
        k = rearrange(self.key(source), "b s (h d) -> b h s d", h=self.heads)
        v = rearrange(self.value(source), "b s (h d) -> b h s d", h=self.heads)
        rate = self.dropout if self.training else 0.0
        seen = None if mask is None else mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=rate)
        out = self.output(rearrange(attended, "b h l d -> b l (h d)"))
        return self.norm(x + F.dropout(out, rate)), k

    @torch.no_grad()
    def cls_scores(self, x: Tensor, k: Tensor) -> Tensor:
        """Attention probability of the text [CLS], mean over heads, before dropout: one row, not
        the matrix. x (B, L, D) as it entered, keys (B, heads, S, d) -> (B, S)."""
        q = rearrange(self.query(x[:, :1]), "b l (h d) -> b h l d", h=self.heads)
        logits = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        return logits.softmax(dim=-1).mean(dim=1).squeeze(1)


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
        need_cls_scores: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, L, D), mask (B, L) bool, video tokens (B, S, E) -> (B, L, D) and, if asked, the
        text [CLS]'s cross-attention to the video tokens (B, S)."""
        x, _ = self.attention(x, x, mask)
        cls_scores = None
        if self.cross_attention is not None:
            attended, k = self.cross_attention(x, video_tokens, None)
            if need_cls_scores:
                cls_scores = self.cross_attention.cls_scores(x, k)
            x = attended
        hidden = self.mlp_out(F.gelu(self.mlp_in(x)))
        return self.norm(x + F.dropout(hidden, self.dropout, self.training)), cls_scores
