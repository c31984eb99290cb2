"""The 3-D relative position bias table and the codes that address it.

Patch tokens lie on a grid of T frames x H x W patches. Query p and key r have the relative position
(dt, dy, dx) = p - r, and the table has one row for each, row-major, of (2T-1)(2H-1)(2W-1), then
three rows for [CLS] (BEiT): [CLS] query with patch key, patch query with [CLS] key, [CLS] with
[CLS]. Giving each position the code t (2H-1)(2W-1) + y (2W-1) + x makes the row of a pair a
difference, code[p] - code[r] + offset, so no pairwise index is ever stored.
"""

import torch
from torch import Tensor

CLS_ROWS = 3
CLS_TO_PATCH, PATCH_TO_CLS, CLS_TO_CLS = -3, -2, -1


def table_rows(frames: int, height: int, width: int) -> int:
    """Rows of the table of a grid, the three of [CLS] included."""
    return (2 * frames - 1) * (2 * height - 1) * (2 * width - 1) + CLS_ROWS


def table_offset(rows: int) -> int:
    """Row of relative position (0, 0, 0): the middle of the patch-to-patch rows."""
    return (rows - CLS_ROWS - 1) // 2


def position_codes(frames: int, height: int, width: int) -> Tensor:
    """Codes of all patches, frame by frame and row by row: (frames * height * width,) int64.

    `height` and `width` must be those of the table; `frames` may be fewer than the table's.
    """
    t, y, x = torch.meshgrid(
        torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij"
    )
    return ((t * (2 * height - 1) + y) * (2 * width - 1) + x).flatten()
