"""Recomputation (activation checkpointing): the recipe's policy, applied in one place.

What is recomputed is called with the very arguments of the plain call. Block patterns, kept
indices and source indices are arguments, so a recomputed layer sees the ones it saw at first;
dropout and drop path repeat because the random state is restored.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.utils.checkpoint import checkpoint

from svitt_ego.config.schema import Recompute

STORE_ALL = Recompute(what="none")


class Layer(Protocol):
    """Calls its attention branches by `call(branch, *arguments)`."""

    def __call__(self, *arguments: Any, call: Callable[..., Any] = ...) -> Any: ...


def run_layer(policy: Recompute, index: int, layer: Layer, *arguments: Any) -> Any:
    """Call layer number `index` of a stack, storing no more than the policy says."""
    chosen = index % policy.every == 0 and torch.is_grad_enabled()
    if chosen and policy.what == "layers":
        return call_recomputed(layer, *arguments)
    if chosen and policy.what == "attention":
        return layer(*arguments, call=call_recomputed)
    return layer(*arguments)


def call_plainly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def call_recomputed(function: Callable[..., Any], *arguments: Any) -> Any:
    """Store the arguments alone, and call again when the backward pass needs the rest."""
    return checkpoint(function, *arguments, use_reentrant=False)
