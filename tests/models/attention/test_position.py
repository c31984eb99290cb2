import torch

from svitt_ego.models.attention import position_codes, table_rows
from svitt_ego.models.attention.position import table_offset


def test_difference_of_codes_is_the_row_of_the_relative_position():
    frames, height, width = 3, 4, 2
    rows = table_rows(frames, height, width)
    assert rows == 5 * 7 * 3 + 3
    table = torch.arange(rows - 3).view(5, 7, 3)
    codes = position_codes(frames, height, width)
    t, y, x = torch.unravel_index(torch.arange(frames * height * width), (frames, height, width))
    for p in range(len(codes)):
        for r in range(len(codes)):
            row = table[t[p] - t[r] + 2, y[p] - y[r] + 3, x[p] - x[r] + 1]
            assert codes[p] - codes[r] + table_offset(rows) == row


def test_original_checkpoints_have_so_many_rows():
    assert table_rows(4, 14, 14) == 5106
