"""A dataset and a recipe small enough for tests that train, the launcher, and ranks that stay."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from svitt_ego.data.synthetic.generate import generate
from svitt_ego.fault_suite.standing_ranks import StandingRanks
from svitt_ego.training.free_port import free_port

CPU_CONFIG = "ds_configs/zero2_cpu.json"


@pytest.fixture(scope="session")
def egosynth(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("egosynth"), "tiny", seed=0, workers=1)


@pytest.fixture
def recipe_file(egosynth, tmp_path) -> Path:
    """The demo's recipe on the tiny dataset, with everything random switched on."""
    tree = {
        "base": str(Path("launch/recipes/demo.yaml").resolve()),
        "model": {
            "video": {"layers": 3, "drop_path": 0.1, "node_sparsity": {"layers": [1]}},
            "text": {"dropout": 0.1},
        },
        "data": {
            "metadata": str(egosynth / "egoclip.csv"),
            "videos": {"root": str(egosynth / "videos"), "chunk_s": 5.0},
            "tokenizer": str(egosynth / "tokenizer"),
            "max_unreadable_share": 0.9,
        },
        "training": {"micro_batch_size": 2, "checkpoint_every_steps": 2, "epochs": 4},
        "evaluation": {"egomcq": str(egosynth / "egomcq.json")},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture
def launch():
    """Start launch/pretrain.py on two ranks as users do; wait for its end."""

    def run(recipe_file, run, *arguments):
        command = [
            *(Path(sys.executable).with_name("deepspeed"), "--num_accelerators", 2),
            *("--master_port", free_port(), "launch/pretrain.py", "--recipe", recipe_file),
            *("--deepspeed_config", CPU_CONFIG, "--output-dir", run, *arguments),
        ]
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture(scope="session")
def go_on(tmp_path_factory):
    """launch/pretrain.py with --resume auto on ranks that stay: most of a launch is their start."""
    groups = {}

    def run(recipe_file, run, *arguments, ranks=2, config=CPU_CONFIG):
        if ranks not in groups:
            groups[ranks] = StandingRanks(ranks, tmp_path_factory.mktemp(f"ranks{ranks}"), 200)
        words = ["--recipe", recipe_file, "--deepspeed_config", Path(config).resolve()]
        words += ["--output-dir", run, "--resume", "auto", *arguments]
        return groups[ranks].train([str(word) for word in words])

    yield run
    for group in groups.values():
        group.stop()
