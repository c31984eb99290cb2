"""The transformer layer of text, stem and pyramid, after ActionFormer (Zhang et al., ECCV 2022).

B: rows; T: positions; L: text tokens; D: width; s: stride.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.grounding.local_attention import local_attention
from svitt_ego.grounding.masked_conv import MaskedConv
from svitt_ego.models.drop_path import DropPath


class ConvAttention(nn.Module):
    """Self-attention whose queries, keys and values are first convolved, each channel by itself:
    that gives them a sense of their neighbours, and a stride where they become fewer."""

    def __init__(self, width: int, heads: int, window: int | None, stride: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.convs = nn.ModuleList(
            MaskedConv(width, width, stride=stride, groups=width, bias=False) for _ in "qkv"
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in "qkv")
        self.projections = nn.ModuleList(nn.Linear(width, width) for _ in "qkv")
        self.output = nn.Linear(width, width)
        self.stride = stride

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, ceil(T / s), D)."""
        parts = zip(self.convs, self.norms, self.projections, strict=True)
        q, k, v = (
            rearrange(project(norm(conv(x, mask))), "b t (h d) -> b h t d", h=self.heads)
            for conv, norm, project in parts
        )
        mask = mask[:, :: self.stride]
        if self.window is None:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        else:
            out = local_attention(q, k, v, mask, self.window)
        return self.output(rearrange(out, "b h t d -> b t (h d)"))


class CrossAttention(nn.Module):
    """Of the video to all tokens of the query."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """(B, T, D), (B, L, D), (B, L) -> (B, T, D)."""
        q = rearrange(self.query(x), "b t (h d) -> b h t d", h=self.heads)
        k, v = rearrange(self.key_value(text), "b l (two h d) -> two b h l d", two=2, h=self.heads)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=text_mask[:, None, None])
        return self.output(rearrange(out, "b h t d -> b t (h d)"))


class Residual(nn.Module):
    """Scales a branch channel by channel and leaves it out for some rows in training."""

    def __init__(self, width: int, layer_scale: float, drop_path: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, branch: Tensor) -> Tensor:
        return self.drop_path(self.scale * branch)


class GroundingLayer(nn.Module):
    """Self-attention, cross-attention to the text where asked for, MLP; each after a LayerNorm."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        window: int | None = None,
        stride: int = 1,
        cross_attention: bool = False,
        layer_scale: float,
        drop_path: float,
    ) -> None:
        """
        Args:
            window: positions that one attends to; None: all.
            stride: 2 halves the sequence.
        """
        super().__init__()
        self.stride = stride
        self.norm = nn.LayerNorm(width)
        self.attention = ConvAttention(width, heads, window, stride)
        self.attention_residual = Residual(width, layer_scale, drop_path)
        self.cross_attention = CrossAttention(width, heads) if cross_attention else None
        if cross_attention:
            self.cross_norm, self.text_norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.cross_residual = Residual(width, layer_scale, drop_path)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.mlp_residual = Residual(width, layer_scale, drop_path)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """x (B, T, D), zero where padded; mask (B, T) -> (B, ceil(T / s), D), zero where padded."""
        attended = self.attention(self.norm(x) * mask[..., None], mask)
        x = self._pooled(x, mask) + self.attention_residual(attended)
        if self.cross_attention is not None:
            crossed = self.cross_attention(self.cross_norm(x), self.text_norm(text), text_mask)
            x = x + self.cross_residual(crossed)
        x = x + self.mlp_residual(self.mlp(x))
        return x * mask[:, :: self.stride, None]

    def _pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """The largest of each position and its neighbours, of those that are there."""
        if self.stride == 1:
            return x
        x = x.masked_fill(~mask[..., None], float("-inf"))
        pooled = F.max_pool1d(x.mT, self.stride + 1, self.stride, self.stride // 2).mT
        return pooled.masked_fill(~mask[:, :: self.stride, None], 0.0)
