"""A picture of block patterns: which patches each patch attends to, layer by layer."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from svitt_ego.profiling.plots import STYLE

UNSEEN, SEEN, OWN = 0, 1, 2
COLORS = ("#ffffff", "#7fa8d9", "#1f4e8c")


def seen_blocks(pattern: Tensor) -> np.ndarray:
    """(blocks, K) -> (blocks, blocks) of 0 unseen, 1 seen, 2 the block itself."""
    blocks = len(pattern)
    seen = np.full((blocks, blocks), UNSEEN)
    np.put_along_axis(seen, pattern.numpy(), SEEN, axis=1)
    np.fill_diagonal(seen, OWN)
    return seen


@matplotlib.rc_context(STYLE)
def pattern_picture(
    patterns: Sequence[Tensor | None], token_counts: Sequence[int], block_size: int
) -> Figure:
    """A panel for each layer: a row for each block of queries, a column for each block of keys.

    Args:
        patterns: of `draw_patterns`.
        token_counts: patches that each layer sees.
        block_size: patches of a block.
    """
    columns = min(len(patterns), 4)
    rows = math.ceil(len(patterns) / columns)
    figure = Figure(figsize=(2.4 * columns, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for layer, (axes, pattern) in enumerate(zip(panels, patterns, strict=False)):
        patches = token_counts[layer]
        blocks = math.ceil(patches / block_size)
        seen = np.full((blocks, blocks), SEEN) if pattern is None else seen_blocks(pattern)
        axes.pcolormesh(
            seen,
            cmap=matplotlib.colors.ListedColormap(COLORS),
            vmin=UNSEEN,
            vmax=OWN,
            edgecolors="#d5d5d5",
            linewidth=0.5,
        )
        axes.set(title=f"layer {layer}: {patches} patches", aspect="equal")
        axes.invert_yaxis()
        axes.set(xticks=[], yticks=[], xlabel="blocks of keys", ylabel="blocks of queries")
    for axes in panels[len(patterns) :]:
        axes.set_axis_off()
    return figure
