"""Which parameters weight decay pulls to zero."""

from typing import Any

from torch import nn


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters for AdamW: decay for weights, none for biases, 1-D
    parameters (LayerNorm, layer scale) and scalars (temperature).

    The rule is SViTT's, literally: no decay if a parameter has at most one dimension or is called
    `bias`. So embeddings, [CLS] and the 2-D relative position bias tables decay.

    Args:
        model: shared parameters are counted once, frozen ones left out.
        weight_decay: of the first group.

    Returns:
        The decayed group, then the other; a group without parameters is left out.
    """
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_bias = name.rpartition(".")[2] == "bias"
        (plain if parameter.ndim <= 1 or is_bias else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
