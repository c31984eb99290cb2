"""AdamW as the recipe sets it, the same in real runs, comparisons and benchmarks."""

from torch import nn
from torch.optim import AdamW

from svitt_ego.config.schema import Optimisation
from svitt_ego.training.parameter_groups import parameter_groups


def build_optimizer(module: nn.Module, settings: Optimisation, fused: bool = False) -> AdamW:
    """
    Args:
        fused: PyTorch's single kernel, else a loop over parameters.
    """
    return AdamW(
        parameter_groups(module, settings.weight_decay),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        foreach=False,
        fused=fused,
    )
