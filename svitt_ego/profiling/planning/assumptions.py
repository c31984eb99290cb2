"""What a step's tensors do not show of the memory it needs: assumed, to be set by whoever knows."""

from dataclasses import dataclass

from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.units import MIB, show_bytes

CUDA_BYTES = 512 * MIB
"""Driver, kernels and cuBLAS workspaces of a process."""
NCCL_BYTES = 256 * MIB
"""NCCL's own buffers, where there are several GPUs."""


@dataclass(frozen=True)
class Assumptions:
    """None of them was measured."""

    context_bytes: int = CUDA_BYTES
    """Of CUDA, and of NCCL where there are several GPUs."""
    slack_share: float = 0.05
    """Of the peak: what PyTorch's caching allocator loses to rounding and fragments."""

    @staticmethod
    def of(
        gpus: int, context_bytes: int | None = None, slack_share: float | None = None
    ) -> "Assumptions":
        """For so many GPUs; None: the usual."""
        if context_bytes is None:
            context_bytes = CUDA_BYTES + (NCCL_BYTES if gpus > 1 else 0)
        if slack_share is None:
            slack_share = Assumptions.slack_share
        return Assumptions(context_bytes, slack_share)

    def slack_bytes(self, peak_bytes: int) -> int:
        return round(self.slack_share * peak_bytes)

    def needed_bytes(self, peak_bytes: int) -> int:
        """What the GPU must have for a step whose live tensors peak at `peak_bytes`."""
        return peak_bytes + self.slack_bytes(peak_bytes) + self.context_bytes

    def text(self, recipe: Recipe) -> list[str]:
        """For people; each line one assumption."""
        return [
            f"unmeasured: CUDA's context (with NCCL where there are several GPUs) is "
            f"{show_bytes(self.context_bytes)}; --context sets it",
            f"unmeasured: the allocator's slack is {self.slack_share:.0%} of the peak; --slack "
            "sets it",
            "a step of rank 0, after the one in which the optimiser makes its states",
            f"texts of {recipe.data.max_text_tokens} tokens, the masked share exactly as expected, "
            "two hard negatives for every anchor",
            "FlexAttention, which cannot run on fake tensors, stores its inputs, its output and "
            "one fp32 number for each query",
            "kernels that PyTorch or Triton compile need no memory inside a kernel",
        ]
