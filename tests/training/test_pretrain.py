"""Training as users start it: the deepspeed launcher, two ranks, ZeRO-2."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.durable_files import read_json_lines
from svitt_ego.models import SViTTEgo
from svitt_ego.training.run_directory import RunDirectory
from svitt_ego.training.trained_model import load_trained_model

DEEPSPEED_CONFIG = "ds_configs/zero2_cpu.json"


@pytest.fixture(scope="module")
def spoilt_videos(egosynth, tmp_path_factory):
    """The dataset's videos with one file cut short and one emptied."""
    videos = tmp_path_factory.mktemp("spoilt") / "videos"
    shutil.copytree(egosynth / "videos", videos)
    first, second = sorted(videos.glob("*/0.mp4"))[:2]
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 3])
    second.write_bytes(b"")
    return videos


def test_interrupted_and_resumed_equals_uninterrupted(
    launch, go_on, recipe_file, spoilt_videos, tmp_path
):
    """Dropout, drop path, random patterns, masking and unreadable clips all on."""
    whole = RunDirectory(tmp_path / "whole")
    changes = ("--set", f"data.videos.root={spoilt_videos}")
    sparing = ("--set", "training.track_memory_every_steps=4")  # the resumed run tracks all of its
    finished = launch(recipe_file, whole.path, "--max-steps", "4", *changes, *sparing)
    assert finished.returncode == 0, finished.stderr[-3000:]
    records = read_json_lines(whole.records_file)
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    assert whole.newest_tag() == "step-000004"
    assert len(list((whole.checkpoints / "step-000002").glob("*_optim_states.pt"))) == 2
    assert all(record["clips"] == 8 and record["rss_high_water_bytes"] > 0 for record in records)
    assert [record.get("peak_bytes", 0) > 0 for record in records] == [True, True, False, True]
    assert "rank_peak_bytes" not in records[2] and len(records[3]["rank_peak_bytes"]) == 2

    faults = [fault for record in records for fault in record["faults"]]
    assert faults and all(Path(fault["path"]).name == "0.mp4" for fault in faults)
    assert f"{len(faults)} of {32 + len(faults)} clips" in finished.stderr

    # as if the run had been killed in step 4: three records, the checkpoint of step 2
    torn = RunDirectory(tmp_path / "torn")
    shutil.copytree(whole.path, torn.path)
    shutil.rmtree(torn.checkpoints / "step-000004")
    torn.pointer.write_text("step-000002\n")
    lines = torn.records_file.read_text().splitlines(keepends=True)
    torn.records_file.write_text("".join(lines[:3]))
    resumed = go_on(recipe_file, torn.path, "--max-steps", "4", *changes)
    assert resumed.code == 0, resumed.said[-3000:]
    assert "resuming after step 2" in resumed.said
    assert "1 steps after the checkpoint were lost" in resumed.said
    again = read_json_lines(torn.records_file)
    for key in ("step", "loss", "loss_mlm", "gradient_norm", "learning_rate", "faults"):
        assert [r[key] for r in again] == [r[key] for r in records], key
    mine, theirs = (load_trained_model(run.path)[0].state_dict() for run in (torn, whole))
    assert all(mine[name].equal(theirs[name]) for name in theirs)
    assert [entry["first_step"] for entry in torn.launches()] == [0, 2]

    finished = go_on(recipe_file, torn.path, "--max-steps", "4", *changes, ranks=1)
    assert finished.code == 0 and "already at step 4" in finished.said
    assert len(torn.launches()) == 2

    with pytest.raises(ConfigError, match="seed = 1 was 0"):
        pretrain_here(recipe_file, torn.path, changes[1], "seed=1", resume=True)
    assert read_json_lines(torn.records_file) == again

    exported = torn.path / "exported"
    command = [sys.executable, "launch/export.py", torn.path]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    model = SViTTEgo.from_pretrained(exported)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert ended.stdout == f"{exported}: {parameters / 1e6:.1f} M parameters\n"
    assert all(theirs[name].equal(tensor) for name, tensor in model.state_dict().items())


def pretrain_here(recipe_file, output_dir, *overrides, config=DEEPSPEED_CONFIG, resume=False):
    from svitt_ego.training.loop import train
    from svitt_ego.training.pretraining import Pretraining

    recipe = load_recipe(str(recipe_file), overrides)
    return train(Pretraining(recipe), config, output_dir, resume)


@pytest.mark.parametrize(
    "override, said",
    [
        ("data.metadata=nowhere.csv", "data.metadata = 'nowhere.csv'"),
        ("data.videos.root=nowhere", "data.videos.root = 'nowhere'"),
        ("data.videos.layout=whole", "with layout 'whole'"),
        ("data.skip_list=LICENSE", "data.skip_list = 'LICENSE': line 1 does not begin with"),
        ("data.tokenizer=nowhere/tokenizer", "data.tokenizer = 'nowhere/tokenizer'"),
        ("model.text.vocabulary_size=10", "model.text.vocabulary_size"),
        ("training.micro_batch_size=100000", "training.micro_batch_size"),
        ("model.video.pretrained=nowhere/beit", "model.video.pretrained = 'nowhere/beit'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(recipe_file, tmp_path, override, said):
    with pytest.raises(ConfigError) as error:
        pretrain_here(recipe_file, tmp_path / "run", override)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_contradicting_deepspeed_config(recipe_file, tmp_path):
    config = tmp_path / "ds.json"
    config.write_text(json.dumps({"train_batch_size": 999}))
    with pytest.raises(ConfigError, match="train_batch_size = 999 contradicts"):
        pretrain_here(recipe_file, tmp_path / "run", config=str(config))
    assert not (tmp_path / "run").exists()


def test_mistakes_on_the_command_line(tmp_path):
    command = [sys.executable, "launch/pretrain.py", "--recipe", "no-such-recipe"]
    command += ["--deepspeed_config", DEEPSPEED_CONFIG, "--output-dir", str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("error: recipe 'no-such-recipe': no such file") and "demo" in line
