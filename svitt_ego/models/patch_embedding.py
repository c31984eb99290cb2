"""From uint8 frames to patch tokens."""

import torch
from einops import rearrange
from torch import Tensor, nn

from svitt_ego.config.schema import VideoEncoder as VideoRecipe
from svitt_ego.models.recomputed_linear import recomputed_linear


class PatchEmbedding(nn.Module):
    """Normalise pixels and project each patch: (B, T, 3, H, W) uint8 -> (B, T * n, D).

    Tokens are ordered frame by frame. Frames stay uint8 until here, so that what waits in the
    loader, travels to the device and is stored for the weight's gradient is one byte a value.
    """

    def __init__(self, recipe: VideoRecipe) -> None:
        super().__init__()
        self.patch_size = recipe.patch_size
        self.image_size = recipe.image_size
        self.scale = 1 / (255 * recipe.pixel_std)
        self.shift = -recipe.pixel_mean / recipe.pixel_std
        side = recipe.patch_size
        self.weight = nn.Parameter(torch.empty(recipe.width, 3, side, side))
        self.bias = nn.Parameter(torch.zeros(recipe.width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, video: Tensor) -> Tensor:
        assert video.dtype == torch.uint8, f"frames are uint8, not {video.dtype}"
        assert video.shape[-2:] == (self.image_size, self.image_size), tuple(video.shape)
        return recomputed_linear(self.pixels, (video,), self.weight.flatten(1), self.bias)

    def pixels(self, video: Tensor) -> Tensor:
        """Normalised values of each patch: (B, T * n, 3 * side * side)."""
        side = self.patch_size
        patches = rearrange(video, "b t c (y p) (x q) -> b (t y x) (c p q)", p=side, q=side)
        return patches.to(self.weight.dtype).mul_(self.scale).add_(self.shift)
