"""Learned embeddings of when and where a patch is, added to it (ViT; space and time apart, as in
TimeSformer, Bertasius et al., ICML 2021).

A relative bias says how far apart two patches are, but only through the attention between them: to
tell a rise from a fall, heads must first specialise on directions. With these, a token carries its
place in its own value.

B: clips; T: frames; n: patches of a frame; D: width.
"""

import torch
from torch import Tensor, nn

_INITIAL_STD = 0.2
"""About that of an embedded patch at the start; smaller ones are drowned by it."""


class AbsolutePositions(nn.Module):
    def __init__(self, frames: int, patches_per_frame: int, width: int) -> None:
        super().__init__()
        self.time = nn.Parameter(torch.randn(frames, 1, width) * _INITIAL_STD)
        self.space = nn.Parameter(torch.randn(1, patches_per_frame, width) * _INITIAL_STD)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T * n, D), frame by frame, of at most as many frames as there are embeddings."""
        frames = tokens.shape[1] // self.space.shape[1]
        return tokens + (self.time[:frames] + self.space).flatten(0, 1)


def fit_times(time: Tensor, frames: int) -> Tensor:
    """Embeddings (T, 1, D) for `frames` frames, each the nearest in time."""
    nearest = (torch.arange(frames, device=time.device) + 0.5) * len(time) / frames
    return time[nearest.long()]
