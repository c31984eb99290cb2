"""A checkpoint is whole, or it is said what is wrong with it."""

import json
import logging
import os
import pickle
import random

import pytest
import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import Training
from svitt_ego.training.checkpoint import newest_whole, remove_old
from svitt_ego.training.checkpoint_files import CheckpointFiles
from svitt_ego.training.manifest import MANIFEST, Manifest, checksum_of, verify
from svitt_ego.training.retention import kept_steps
from svitt_ego.training.run_directory import RunDirectory, tag_of


def write_checkpoint(run, step, loss=1.0):
    folder = run.checkpoints / tag_of(step)
    folder.mkdir(parents=True)
    for name in ("mp_rank_00_model_states.pt", "zero_pp_rank_0_optim_states.pt"):
        torch.save({"step": step, "state": torch.rand(1000)}, folder / name)
    files = {path.name: checksum_of(path) for path in folder.iterdir()}
    manifest = Manifest(
        step, 2, 2, False, "fp32", 4, 1, "recipe", {"torch": "2"}, {"loss": loss}, files
    )
    manifest.write(folder)
    return folder


def test_a_whole_checkpoint_is_what_was_written(tmp_path):
    folder = write_checkpoint(RunDirectory(tmp_path), 40)
    manifest = verify(folder)
    assert manifest.step == 40 and manifest.bytes > 8000 and manifest.global_batch_size == 8
    assert manifest == Manifest.read(folder)


def flip(path):
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


SHARD = "zero_pp_rank_0_optim_states.pt"
DAMAGES = {
    "deleted": (lambda f: (f / SHARD).unlink(), "missing"),
    "cut": (lambda f: os.truncate(f / SHARD, 4096), "has 4096 bytes instead of"),
    "longer": (lambda f: os.truncate(f / SHARD, 50000), "has 50000 bytes instead of"),
    "one bit": (lambda f: flip(f / SHARD), "changed or damaged"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "never completed"),
    "cut manifest": (lambda f: os.truncate(f / MANIFEST, 50), "damaged"),
    "empty manifest": (lambda f: os.truncate(f / MANIFEST, 0), "damaged"),
    "another manifest": (lambda f: (f / MANIFEST).write_text("[1]"), "damaged"),
    "one bit of the manifest": (lambda f: flip(f / MANIFEST), "damaged"),
    "odd manifest": (lambda f: (f / MANIFEST).write_text('{"files": {"a": 1}}'), "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_whole_one_is_found_and_the_damage_named(tmp_path, caplog, damage):
    run = RunDirectory(tmp_path)
    write_checkpoint(run, 40)
    write_checkpoint(run, 9)  # newest is by step, not by date or name
    newest = write_checkpoint(run, 1000080)
    change, said = DAMAGES[damage]
    change(newest)
    with caplog.at_level(logging.WARNING):
        tag, manifest = newest_whole(run)
    assert tag == "step-000040" and manifest.step == 40
    (message,) = caplog.messages
    assert said in message and "step-1000080" in message and "\n" not in message


def test_without_any_whole_one_nothing_is_started_over(tmp_path):
    run = RunDirectory(tmp_path)
    assert newest_whole(run) is None
    flip(write_checkpoint(run, 40) / SHARD)
    with pytest.raises(ConfigError, match="no checkpoint is whole: .*step-000040") as error:
        newest_whole(run)
    assert "\n" not in str(error.value)


def test_retention_keeps_the_last_every_nth_and_the_best():
    losses = {10: 3.0, 20: 1.0, 30: 2.0, 40: 1.0, 50: 5.0, 60: 4.0}
    metrics = {step: {"loss": loss} for step, loss in losses.items()} | {70: {}}

    def kept(**settings):
        return sorted(kept_steps(metrics, Training(**settings)))

    assert kept(keep_checkpoints=2) == [60, 70]
    assert kept(keep_checkpoints=1, keep_every_steps=30) == [30, 60, 70]
    assert kept(keep_checkpoints=1, keep_best=1) == [20, 70]
    assert kept(keep_checkpoints=1, keep_best=3) == [20, 30, 40, 70]
    assert kept(keep_checkpoints=1, keep_best=2, best_metric="loss_mlm") == [70]
    assert kept(keep_checkpoints=99) == sorted(metrics)


def test_old_ones_go_and_damaged_later_ones_do_not_count(tmp_path):
    run = RunDirectory(tmp_path)
    for step in (998000, 999999, 1000000):
        write_checkpoint(run, step)
    (run.checkpoints / tag_of(1000005)).mkdir()  # damaged, passed over
    for left in (".step-000003.removing", ".step-000004.partial", ".step-000004.universal"):
        (run.checkpoints / left / "inside").mkdir(parents=True)
    remove_old(run, 1000000, Training(keep_checkpoints=2))
    left = sorted(path.name for path in run.checkpoints.iterdir())
    assert left == ["step-1000000", "step-1000005", "step-999999"]


def test_a_manifest_is_plain_json(tmp_path):
    folder = write_checkpoint(RunDirectory(tmp_path), 40)
    tree = json.loads((folder / MANIFEST).read_text())
    assert tree["world_size"] == 2 and set(tree["files"][SHARD]) == {"bytes", "checksum"}


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_shard_that_could_run_code_is_refused_unloaded(tmp_path, caplog):
    """Though it is as it was written: checksums find damage, not malice."""
    run = RunDirectory(tmp_path)
    write_checkpoint(run, 40)
    folder = write_checkpoint(run, 80)
    torch.save({"state": Exploding()}, folder / SHARD)
    manifest = Manifest.read(folder)
    manifest.files[SHARD] = checksum_of(folder / SHARD)
    manifest.write(folder)
    tag, _ = newest_whole(run)
    assert tag == "step-000040"
    assert "refused: it names" in caplog.text and "could run code" in caplog.text
    with pytest.raises(pickle.UnpicklingError):
        CheckpointFiles().load(str(folder / SHARD))


def test_what_deepspeed_keeps_in_a_shard_is_loaded(tmp_path):
    files = CheckpointFiles()
    scaler = DynamicLossScaler(2.0**16, 2, 1000, 1, 2, False, dtype=torch.float16)
    path = tmp_path / "shard.pt"
    files.save({"zero_stage": ZeroStageEnum(2), "loss_scaler": scaler}, str(path))
    assert files.error is None and files.written == {"shard.pt": checksum_of(path)}
    loaded = files.load(str(path))
    assert loaded["zero_stage"] == 2 and loaded["loss_scaler"].cur_scale == 2**16


def test_what_cannot_be_written_is_noted_and_not_raised(tmp_path):
    """DeepSpeed's saving has barriers at which other ranks would wait for ever."""
    files = CheckpointFiles()
    files.save({}, str(tmp_path / "nowhere" / "shard.pt"))
    assert "nowhere" in files.error and "\n" not in files.error and not files.written
