"""The picture of block patterns shows the patterns."""

import subprocess
import sys

import torch

from svitt_ego.models.attention import draw_pattern
from svitt_ego.profiling.pattern_picture import OWN, SEEN, pattern_picture, seen_blocks


def test_seen_blocks_are_those_of_the_pattern():
    pattern = draw_pattern(9, 3, 2, (4, 1, 2))
    seen = seen_blocks(pattern)
    for row, blocks in enumerate(pattern.tolist()):
        assert seen[row, row] == OWN
        assert {column for column in range(9) if seen[row, column]} == set(blocks)
        assert (seen[row] == SEEN).sum() == 4


def test_a_panel_for_each_layer_also_where_attention_is_dense():
    patterns = [draw_pattern(5, 1, 2, (0, 1)), draw_pattern(4, 1, 2, (0, 2)), None]
    figure = pattern_picture(patterns, [50, 40, 20], 10)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["layer 0: 50 patches", "layer 1: 40 patches", "layer 2: 20 patches"]
    (mesh,) = figure.axes[2].collections
    assert torch.from_numpy(mesh.get_array()).unique().tolist() == [SEEN]


def test_command_writes_a_png_and_refuses_a_dense_recipe(tmp_path):
    command = [sys.executable, "launch/draw_patterns.py", "--output", str(tmp_path / "a.png")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    refused = subprocess.run([*command, "--recipe", "paper_dense"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.strip() == (
        "error: paper_dense: has no model.video.edge_sparsity: nothing to draw"
    )
