"""What the paper reports, and what the original code holds when its tensors are tracked.

SViTT-Ego's paper gives peaks per GPU (8 clips on each of 8 GPUs of 12 GB, fp16). The original code
was tracked at the paper's recipe on a CPU: batch 8, 4 frames, bf16 autocast on fp32 weights, AdamW,
all three losses, without scene-aware negatives.
"""

from dataclasses import dataclass

from svitt_ego.profiling.units import MIB


@dataclass(frozen=True)
class Published:
    title: str
    reported_gb: float | None
    """10^9 bytes, as the paper prints them; None: it does not."""
    tracked_bytes: int
    recipe: str
    """Ours of the same model, in launch/recipes, with overrides."""
    overrides: tuple[str, ...] = ()


PUBLISHED = (
    Published("original, dense", None, 10464 * MIB, "paper_dense"),
    Published(
        "original, dense + token drop",
        None,
        7543 * MIB,
        "paper_1_3_56",
        ("model.video.edge_sparsity=null",),
    ),
    Published("original, sparse (1, 3, 56) + token drop", 8.76, 6978 * MIB, "paper_1_3_56"),
    Published("original, sparse (1, 5, 56) + token drop", 9.61, 7787 * MIB, "paper_1_5_56"),
)
