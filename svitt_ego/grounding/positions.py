"""Sinusoidal positions (Vaswani et al., 2017)."""

import torch
from torch import Tensor


def sinusoidal_positions(
    length: int, width: int, max_length: int, device: torch.device | None = None
) -> Tensor:
    """(length, width), divided by sqrt(width) as ActionFormer does, so that features outweigh them.

    A sequence longer than `max_length` has its positions compressed into that range: a model meets
    no position that training could not have shown it.
    """
    position = torch.arange(length, device=device, dtype=torch.float32)
    if length > max_length:
        position = position * (max_length / length)
    pairs = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angle = position[:, None] * 10_000.0 ** (-pairs / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1) * width**-0.5
