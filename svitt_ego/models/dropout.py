"""Dropout that keeps one byte for each element."""

import torch
from torch import Tensor


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """As `torch.nn.functional.dropout`, which on a CPU stores its mask in the dtype of x."""
    if not training or rate == 0:
        return x
    return torch.native_dropout(x, rate, True)[0]
