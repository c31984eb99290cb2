"""A run goes on with fewer and more ranks, at another ZeRO stage, as if nothing had happened.

In fp32 and without what is drawn or compared by rank (dropout, drop path, matching), losses are
those of the uninterrupted run. Tolerance 1e-4 relative: sums are taken in another order.
"""

import json
import shutil

import pytest

from svitt_ego.durable_files import read_json_lines
from svitt_ego.training.run_directory import RunDirectory
from svitt_ego.training.trained_model import load_trained_model

SAME_AT_ANY_RANKS = (
    "objectives.vtm.weight=0.0",
    "model.video.drop_path=0.0",
    "model.text.dropout=0.0",
    "training.micro_batch_size=3",
)
OVERRIDES = [word for change in SAME_AT_ANY_RANKS for word in ("--set", change)]


@pytest.fixture
def stage(tmp_path):
    def config(stage):
        path = tmp_path / f"zero{stage}.json"
        path.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
        return path

    return config


def test_two_then_one_then_three_ranks(launch, recipe_file, stage, tmp_path):
    whole, moved = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "moved")
    ended = launch(recipe_file, whole.path, "--max-steps", 6, *OVERRIDES, config=stage(2))
    assert ended.returncode == 0, ended.stderr[-3000:]
    shutil.copytree(whole.path, moved.path)
    for tag in ("step-000004", "step-000006"):
        shutil.rmtree(moved.checkpoints / tag)

    for ranks, zero, last, split in ((1, 1, 4, "= 6 x"), (3, 2, 6, "= 2 x")):
        arguments = ("--max-steps", last, "--resume", "auto", *OVERRIDES)
        ended = launch(recipe_file, moved.path, *arguments, ranks=ranks, config=stage(zero))
        assert ended.returncode == 0, ended.stderr[-3000:]
        assert f"now {ranks} ranks x training.micro_batch_size {split}" in ended.stderr
        assert f"converting it for {ranks} at stage {zero}" in ended.stderr
    splits = [(entry["world_size"], entry["micro_batch_size"]) for entry in moved.launches()]
    assert splits == [(2, 3), (1, 6), (3, 2)]
    assert not list(moved.checkpoints.glob(".*"))

    expected, found = (read_json_lines(run.records_file) for run in (whole, moved))
    assert [record["step"] for record in found] == [1, 2, 3, 4, 5, 6]
    for key in ("loss", "loss_contrastive", "loss_mlm", "gradient_norm", "learning_rate"):
        values = [record[key] for record in expected]
        assert [record[key] for record in found] == pytest.approx(values, rel=1e-4), key
    mine, theirs = (load_trained_model(run.path)[0].state_dict() for run in (moved, whole))
    for name in theirs:
        if name.endswith("key.bias"):  # a gradient of 0, in which Adam enlarges the rounding
            continue
        difference = (mine[name] - theirs[name]).abs().max().item()
        assert difference < 1e-4, (name, difference)

    arguments = ("--resume", "auto", *OVERRIDES)
    ended = launch(recipe_file, moved.path, *arguments, ranks=4, config=stage(2))
    assert ended.returncode == 2
    assert "steps took 6 clips" in ended.stderr and "launch one of 1, 2, 3, 6" in ended.stderr
