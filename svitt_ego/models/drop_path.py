"""Stochastic depth: a residual branch is left out for some samples of the batch."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero the branch of a sample with probability `rate`, scale the others to the same mean."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.dim() - 1)
        keep = 1 - self.rate
        return branch * (branch.new_empty(shape).bernoulli_(keep) / keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"
