"""An optimiser's states, there before its first real step."""

import torch


@torch.no_grad()
def make_states(optimizer: torch.optim.Optimizer) -> None:
    """Take a step on gradients of zero, in which AdamW makes its moments.

    Gradients that are there already, as ZeRO's buffers in the host's memory, are used and stay.
    """
    made = [
        parameter
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.requires_grad and parameter.grad is None
    ]
    for parameter in made:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter in made:
        parameter.grad = None
