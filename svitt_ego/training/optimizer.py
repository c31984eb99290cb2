"""AdamW as the recipe sets it, the same in real runs, comparisons and benchmarks."""

import torch
from torch import nn
from torch.optim import AdamW

from svitt_ego.config.base import Optimisation
from svitt_ego.training.parameter_groups import parameter_groups


class GuardedAdamW(AdamW):
    """Leaves out a step whose gradient is not finite, and says so in `overflow`.

    ZeRO's optimisers and DeepSpeed's of half precision do so themselves; in fp32 at stage 0
    DeepSpeed steps the optimiser it was given, and reads these two attributes where there are.
    """

    overflow = False
    _global_grad_norm: float | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        gradients = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.overflow = not bool(norm.isfinite())
        self._global_grad_norm = norm.item()
        if not self.overflow:
            super().step(closure)


def build_optimizer(
    module: nn.Module, settings: Optimisation, fused: bool = False, guarded: bool = False
) -> AdamW:
    """
    Args:
        fused: PyTorch's single kernel, on a GPU or a CPU, else a loop over parameters.
        guarded: leave out steps that are not finite, where nobody else does.
    """
    return (GuardedAdamW if guarded else AdamW)(
        parameter_groups(module, settings.weight_decay),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        foreach=False,
        fused=fused,
    )
