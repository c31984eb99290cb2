"""A run goes on with fewer and more ranks, at another ZeRO stage, with offload and without, as if
nothing had happened.

In fp32 and without what is drawn or compared by rank (dropout, drop path, matching), losses are
those of the uninterrupted run. Tolerance 1e-4 relative: sums are taken in another order.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from svitt_ego.durable_files import read_json_lines
from svitt_ego.training.free_port import free_port
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
    def config(stage, **settings):
        path = tmp_path / f"zero{stage}.json"
        path.write_text(json.dumps({"zero_optimization": {"stage": stage, **settings}}))
        return path

    return config


@pytest.fixture
def two_nodes(recipe_file, tmp_path):
    """Launch on two "nodes" of this machine, as one would on each without ssh; both outputs."""

    def run(run, *arguments, config):
        hostfile = tmp_path / "hostfile"
        hostfile.write_text("nodeA slots=1\nnodeB slots=1\n")
        port = free_port()
        nodes = [
            subprocess.Popen(
                [
                    str(word)
                    for word in (
                        Path(sys.executable).with_name("deepspeed"),
                        *("--no_ssh", "--node_rank", node, "--hostfile", hostfile),
                        *("--master_addr", "127.0.0.1", "--master_port", port),
                        *("launch/pretrain.py", "--recipe", recipe_file, "--output-dir", run),
                        *("--deepspeed_config", config, *arguments),
                    )
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for node in (0, 1)
        ]
        outputs = [node.communicate(timeout=200)[0] for node in nodes]
        assert [node.returncode for node in nodes] == [0, 0], outputs[0][-3000:]
        return outputs

    return run


@pytest.fixture
def slurm(recipe_file, tmp_path):
    """launch/slurm.sbatch as Slurm would run it, with an `srun` that starts tasks here."""

    def run(run, *arguments, ranks, config):
        commands = tmp_path / "bin"
        commands.mkdir()
        (commands / "scontrol").write_text("#!/bin/sh\necho 127.0.0.1\n")
        (commands / "srun").write_text(
            "#!/bin/bash\n"
            'while [[ $1 == -* ]]; do shift; done; pids=""\n'
            f"for task in $(seq 0 {ranks - 1}); do\n"
            '  SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & pids="$pids $!"\n'
            "done; status=0\n"
            "for pid in $pids; do wait $pid || status=$?; done; exit $status\n"
        )
        for command in commands.iterdir():
            command.chmod(0o755)
        environment = {
            **{"SLURM_JOB_ID": str(free_port()), "SLURM_JOB_NODELIST": "node"},
            **{"SLURM_NTASKS": str(ranks), "SLURM_NTASKS_PER_NODE": str(ranks)},
            "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path.cwd()),
        }
        words = ["bash", "launch/slurm.sbatch", "--recipe", recipe_file, "--output-dir", run]
        return subprocess.run(
            [str(word) for word in (*words, "--deepspeed_config", config, *arguments)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    return run


def test_two_nodes_then_one_rank_then_a_slurm_job_of_three(
    go_on, two_nodes, slurm, recipe_file, stage, tmp_path
):
    whole, moved = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "moved")
    two_nodes(whole.path, "--max-steps", 6, *OVERRIDES, config=stage(2))
    assert whole.launches()[0]["world_size"] == 2
    shutil.copytree(whole.path, moved.path)
    for tag in ("step-000004", "step-000006"):
        shutil.rmtree(moved.checkpoints / tag)

    arguments = ("--max-steps", 4, *OVERRIDES)
    offloaded = stage(1, offload_optimizer={"device": "cpu"})
    one = go_on(recipe_file, moved.path, *arguments, ranks=1, config=offloaded)
    three = slurm(moved.path, "--max-steps", 6, *OVERRIDES, ranks=3, config=stage(2))
    assert (one.code, three.returncode) == (0, 0), one.said[-2000:] + three.stderr[-3000:]
    for said, ranks, zero, split in ((one.said, 1, 1, "= 6 x"), (three.stderr, 3, 2, "= 2 x")):
        assert f"now {ranks} ranks x training.micro_batch_size {split}" in said
        assert f"converting it for {ranks} at stage {zero}" in said
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


def test_back_and_forth_between_one_and_two_ranks_at_stages_1_and_2(
    go_on, recipe_file, stage, tmp_path
):
    """2 -> 3 at both stages is in the fault suite."""
    whole, moved = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "moved")
    moves = ((2, 1), (1, 1), (2, 1), (1, 2), (2, 2), (1, 2))
    every_step = ("--set", "training.checkpoint_every_steps=100", *OVERRIDES)
    ended = go_on(recipe_file, whole.path, "--max-steps", len(moves), *every_step, config=stage(2))
    assert ended.code == 0, ended.said[-3000:]
    for step, (ranks, zero) in enumerate(moves, start=1):
        arguments = ("--max-steps", step, *every_step)
        ended = go_on(recipe_file, moved.path, *arguments, ranks=ranks, config=stage(zero))
        assert ended.code == 0, ended.said[-3000:]
        assert (f"converting it for {ranks} at stage {zero}" in ended.said) == (step > 1)
        assert not [*moved.path.rglob("*universal*")]  # nothing of the conversion stays
    expected, found = (read_json_lines(run.records_file) for run in (whole, moved))
    for key in ("step", "loss", "gradient_norm", "learning_rate"):
        values = [record[key] for record in expected]
        assert [record[key] for record in found] == pytest.approx(values, rel=1e-4), key
