"""From images to video: the relative position bias table of another grid."""

import torch
from timm.layers import resize_rel_pos_bias_table
from torch import Tensor

from svitt_ego.models.attention.position import CLS_ROWS

Grid = tuple[int, int, int]
"""Frames, patch rows, patch columns of a table."""


def fit_bias_table(table: Tensor, old: Grid, new: Grid) -> Tensor:
    """Table (old rows, heads) -> (new rows, heads).

    From an image (one frame) the spatial table is repeated for each dt; from T1 to T2 frames dt is
    interpolated to the nearest; other resolutions use BEiT's geometric interpolation (timm's). The
    three [CLS] rows are kept.
    """
    if old == new:
        return table
    heads = table.shape[1]
    patches, cls = table[:-CLS_ROWS], table[-CLS_ROWS:]
    rows_t, rows_y, rows_x = (2 * size - 1 for size in old)
    new_t, new_y, new_x = (2 * size - 1 for size in new)
    patches = patches.reshape(rows_t, rows_y * rows_x, heads)
    if (rows_y, rows_x) != (new_y, new_x):
        patches = torch.stack(
            [
                resize_rel_pos_bias_table(spatial, new[1:], (new_y * new_x, heads), old[1:])
                for spatial in patches
            ]
        )
    if rows_t != new_t:
        nearest = torch.nn.functional.interpolate(
            patches.permute(1, 2, 0).float(), size=new_t, mode="nearest"
        )
        patches = nearest.permute(2, 0, 1).to(table.dtype)
    return torch.cat([patches.reshape(-1, heads), cls])
