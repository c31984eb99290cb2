"""Runs to do damage to: prepared once, copied for each fault, resumed, and compared."""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import yaml

from svitt_ego.data.synthetic.generate import generate
from svitt_ego.durable_files import read_json_lines
from svitt_ego.fault_suite.ended import Ended, wait_for
from svitt_ego.fault_suite.standing_ranks import StandingRanks
from svitt_ego.training.free_port import free_port
from svitt_ego.training.records import forget_after
from svitt_ego.training.run_directory import RunDirectory, step_of, tag_of

REPOSITORY = Path(__file__).resolve().parents[2]
LAST_STEP = 6
INTERVAL = 2
RANKS = 2

SAME_AT_ANY_RANKS = (
    "objectives.vtm.weight=0.0",
    "model.video.drop_path=0.0",
    "model.text.dropout=0.0",
)


class Lab:
    def __init__(self, folder: Path, patience_s: float) -> None:
        """
        Args:
            folder: emptied and filled.
            patience_s: a launch that is not over by then hangs.
        """
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder.absolute()
        dataset = generate(self.folder / "data", "tiny", seed=0, workers=1)
        self.recipe = self.folder / "faults.yaml"
        self.recipe.write_text(yaml.safe_dump(_recipe_tree(dataset)))
        for stage in (1, 2):
            config = {"zero_optimization": {"stage": stage}}
            self.config(stage).write_text(json.dumps(config))
        self.patience_s = patience_s
        self._made = 0
        self._standing: dict[int, StandingRanks] = {}

    def config(self, stage: int) -> Path:
        return self.folder / f"zero{stage}.json"

    def start(self, run: RunDirectory, fault: str | None = None, **named: Any) -> Popen[str]:
        """A launch to `LAST_STEP` that resumes where it can, in a process group of its own.

        Args:
            fault: FAILURE:PLACE:RANK:STEP of `injections`.
            named: see `_arguments`.
        """
        script = "launch/pretrain.py"
        faulty = "svitt_ego/fault_suite/faulty_pretrain.py"
        command = [
            Path(sys.executable).with_name("deepspeed"),
            *("--num_accelerators", RANKS, "--master_port", free_port()),
            *((script,) if fault is None else (faulty, fault)),
            *self._arguments(run, **named),
        ]
        return Popen(
            [str(word) for word in command],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
            start_new_session=True,
        )

    def launch(self, run: RunDirectory, fault: str | None = None, **named: Any) -> Ended:
        """`start`, and wait for its end."""
        started = time.monotonic()
        return wait_for(self.start(run, fault, **named), started, self.patience_s)

    def go_on(self, run: RunDirectory, ranks: int = RANKS, **named: Any) -> Ended:
        """The same without a fault and without the start of processes, on ranks that stay."""
        if ranks not in self._standing:
            logs = self.folder / f"logs of {ranks}"
            self._standing[ranks] = StandingRanks(ranks, logs, self.patience_s)
        return self._standing[ranks].train(self._arguments(run, **named))

    def close(self) -> None:
        for ranks in self._standing.values():
            ranks.stop()

    def _arguments(
        self,
        run: RunDirectory,
        stage: int = 2,
        last_step: int = LAST_STEP,
        more: Sequence[str] = (),
    ) -> list[str]:
        """
        Args:
            more: overrides of the recipe.
        """
        arguments = [
            *("--recipe", self.recipe, "--deepspeed_config", self.config(stage)),
            *("--output-dir", run.path, "--resume", "auto", "--max-steps", last_step),
            *(word for change in more for word in ("--set", change)),
        ]
        return [str(word) for word in arguments]

    def new_run(self) -> RunDirectory:
        self._made += 1
        return RunDirectory(self.folder / f"run{self._made}")

    def copy_as_if_killed_after(self, base: RunDirectory, step: int) -> RunDirectory:
        """Of a whole run: its records up to `step` and the checkpoints it then had."""
        run = self.new_run()
        shutil.copytree(base.path, run.path)
        for tag in run.tags():
            if step_of(tag) > step:
                shutil.rmtree(run.checkpoints / tag)
        run.pointer.write_text(f"{run.newest_tag()}\n")
        forget_after(run.records_file, step)
        return run


def losses(run: RunDirectory) -> list[float]:
    return [record["loss"] for record in read_json_lines(run.records_file)]


def last_recorded_step(run: RunDirectory) -> int:
    records = read_json_lines(run.records_file)
    return records[-1]["step"] if records else 0


def newest(run: RunDirectory) -> Path:
    return run.checkpoints / tag_of(step_of(run.tags()[0]))


def _recipe_tree(dataset: Path) -> dict[str, object]:
    """The demo's recipe on a tiny dataset, with everything random switched on."""
    return {
        "base": str(REPOSITORY / "launch/recipes/demo.yaml"),
        "model": {
            "video": {"layers": 3, "drop_path": 0.1, "node_sparsity": {"layers": [1]}},
            "text": {"dropout": 0.1},
        },
        "data": {
            "metadata": str(dataset / "egoclip.csv"),
            "videos": {"root": str(dataset / "videos"), "chunk_s": 5.0},
            "tokenizer": str(dataset / "tokenizer"),
        },
        "training": {
            "micro_batch_size": 3,
            "checkpoint_every_steps": INTERVAL,
            "keep_checkpoints": 9,
            "epochs": 4,
        },
        "evaluation": {"egomcq": None},
    }
