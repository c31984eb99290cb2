"""The video encoder: BEiT inflated to video, with edge and node sparsity.

B: clips; T: frames; n: patches of a frame; D: width; K: kept patch tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from svitt_ego.config.schema import Recompute
from svitt_ego.config.schema import VideoEncoder as VideoRecipe
from svitt_ego.models.absolute_positions import AbsolutePositions
from svitt_ego.models.attention import draw_patterns, position_codes
from svitt_ego.models.node_strategies import SCORED, reduce_tokens
from svitt_ego.models.patch_embedding import PatchEmbedding
from svitt_ego.models.recompute import STORE_ALL, run_layer
from svitt_ego.models.token_drop import compose, keep_count, token_counts
from svitt_ego.models.video_layer import VideoLayer

Patterns = Sequence[Tensor | None]
"""One block pattern (blocks, K_l + K_r) per layer; None where attention is dense."""

EVALUATION_STEP = 0
"""Step of the patterns that evaluation uses, always the same; training steps count from 1."""


class VideoOutput(NamedTuple):
    """tokens: (B, 1 + K, D) after the final LayerNorm, [CLS] first; pooled: (B, D);
    kept: for each drop the (B, K_i) original positions of the patch tokens that it left; of one
    that stands for several patches the position of one of them."""

    tokens: Tensor
    pooled: Tensor
    kept: tuple[Tensor, ...]


class VideoEncoder(nn.Module):
    def __init__(self, recipe: VideoRecipe, recompute: Recompute = STORE_ALL) -> None:
        super().__init__()
        self.recipe = recipe
        self.recompute = recompute
        self.patches = PatchEmbedding(recipe)
        self.positions = (
            AbsolutePositions(recipe.max_frames, recipe.patches_per_frame, recipe.width)
            if recipe.absolute_positions
            else nn.Identity()
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, recipe.width))
        last = max(recipe.layers - 1, 1)
        rates = [recipe.drop_path * layer / last for layer in range(recipe.layers)]
        self.layers = nn.ModuleList(VideoLayer(recipe, rate) for rate in rates)
        self.norm = nn.LayerNorm(recipe.width, recipe.layer_norm_eps)
        if recipe.pooling == "mean":
            self.pooler_norm = nn.LayerNorm(recipe.width, recipe.layer_norm_eps)
        codes = position_codes(recipe.max_frames, recipe.grid_size, recipe.grid_size)
        self.register_buffer("codes", codes, persistent=False)

    def patterns(self, frames: int, seed: int, step: int) -> tuple[Tensor | None, ...]:
        """Block patterns of all layers for clips of so many frames: pure in (seed, step)."""
        recipe = self.recipe
        counts = token_counts(
            recipe.node_sparsity, recipe.layers, frames * recipe.patches_per_frame
        )
        return draw_patterns(recipe.edge_sparsity, counts[:-1], seed, step)

    def forward(self, video: Tensor, patterns: Patterns | None = None) -> VideoOutput:
        """(B, T, 3, H, W) uint8 -> `VideoOutput`. Without patterns: the fixed ones of evaluation.

        Raises:
            ValueError: more frames than the position table holds, or not one pattern per layer.
        """
        frames = video.shape[1]
        if frames > self.recipe.max_frames:
            raise ValueError(
                f"a clip of {frames} frames: the position table holds model.video.max_frames = "
                f"{self.recipe.max_frames}"
            )
        if patterns is None:
            patterns = self.patterns(frames, 0, EVALUATION_STEP)
        if len(patterns) != len(self.layers):
            raise ValueError(f"{len(patterns)} patterns for {len(self.layers)} layers")

        tokens = self.positions(self.patches(video))
        x = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        codes = self.codes[: tokens.shape[1]].unsqueeze(0)
        node = self.recipe.node_sparsity
        kept_per_drop: list[Tensor] = []
        original: list[Tensor] = []
        sizes: Tensor | None = None
        for index, (layer, pattern) in enumerate(zip(self.layers, patterns, strict=True)):
            drops = node is not None and index in node.layers
            if pattern is not None:
                pattern = pattern.to(x.device, non_blocking=True)
            scored = drops and node.strategy in SCORED
            x, cls_scores = run_layer(self.recompute, index, layer, x, codes, pattern, scored)
            if drops:
                reduction = reduce_tokens(
                    node.strategy,
                    x,
                    keep_count(x.shape[1] - 1, node.keep_rate),
                    cls_scores=cls_scores,
                    sizes=sizes,
                    training=self.training,
                )
                x, kept, sizes = reduction.tokens, reduction.kept, reduction.sizes
                codes = codes.expand(kept.shape[0], -1).gather(1, kept)
                kept_per_drop.append(kept)
                original.append(compose(kept_per_drop))
        tokens = self.norm(x)
        pooled = tokens[:, 0]
        if self.recipe.pooling == "mean":
            pooled = self.pooler_norm(x[:, 1:].mean(dim=1))
        return VideoOutput(tokens, pooled, tuple(original))
