"""Activation checkpointing, applied in one place.

A layer is recomputed with the very arguments of the plain call. Block patterns and kept indices
are arguments, so a recomputed layer sees the ones it saw at first; dropout and drop path repeat
because the random state is restored.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch.utils.checkpoint import checkpoint

Recompute = Literal["none", "layers"]


def run_layer(layer: Callable, *arguments: object, recompute: Recompute) -> object:
    """Call a layer, keeping only its inputs for the backward pass if `recompute` says so."""
    if recompute == "layers" and torch.is_grad_enabled():
        return checkpoint(layer, *arguments, use_reentrant=False)
    return layer(*arguments)
