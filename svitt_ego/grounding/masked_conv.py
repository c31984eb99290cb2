"""Convolution along time in which padding has no say.

B: rows; T: positions; D: width.
"""

from torch import Tensor, nn


class MaskedConv(nn.Module):
    """Each output is of the inputs around it; of a stride s every s-th position remains, the first
    included, so T becomes ceil(T / s)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, 1, groups, bias)
        if bias:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), zero where padded; mask (B, T) bool -> (B, ceil(T / s), D), the same."""
        out = self.conv(x.mT).mT
        return out * mask[:, :: self.conv.stride[0], None]
