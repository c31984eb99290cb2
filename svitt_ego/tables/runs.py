"""One run of the tables: trained and scored by the commands that a user types, once.

The result is a JSON file. Where it is there, nothing is done; where a training was killed, it goes
on from its last checkpoint.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from svitt_ego.config import ConfigError
from svitt_ego.cpu_features import cpu_computes_bf16
from svitt_ego.durable_files import read_json_lines, write_atomically
from svitt_ego.evaluation.egomcq import KINDS
from svitt_ego.evaluation.mcq_questions import Kind
from svitt_ego.side_by_side.commands import Commands
from svitt_ego.training.run_directory import RunDirectory, step_of

DEEPSPEED_CONFIG = "ds_configs/zero2_cpu.json"

Way = Literal["as_trained", "shuffled", "still", "all_edges"]
"""How a trained model is scored."""
_ARGUMENTS: dict[Way, tuple[str, ...]] = {
    "as_trained": (),
    "shuffled": ("--frame-order", "shuffled"),
    "still": ("--frame-order", "still"),
    "all_edges": ("--all-edges",),
}
"""Of launch/evaluate_egomcq.py."""

Watch = Callable[[int], None]
"""Is told, now and then, how many steps a training has taken."""


@dataclass(frozen=True)
class Scores:
    """Of one model: per kind of question, in the file's order, whether the dual encoder's answer
    was right."""

    correct: dict[Kind, list[bool]]

    @classmethod
    def of_file(cls, egomcq: Path) -> "Scores":
        """Of what launch/evaluate_egomcq.py wrote."""
        answers = json.loads(egomcq.read_text(encoding="utf-8"))["answers"]
        return cls(
            {
                kind: [a["chosen"]["dual"] == a["answer"] for a in answers if a["kind"] == kind]
                for kind in KINDS
            }
        )

    @classmethod
    def of_json(cls, tree: dict[Kind, str]) -> "Scores":
        """Of what `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        return cls({kind: [bool(("0", "1").index(a)) for a in tree[kind]] for kind in KINDS})

    def to_json(self) -> dict[Kind, str]:
        """A digit a question: files with thousands of answers are kept and read by people."""
        return {kind: "".join(str(int(a)) for a in self.correct[kind]) for kind in KINDS}

    def of(self, kind: Kind) -> NDArray[np.bool_]:
        return np.array(self.correct[kind], dtype=bool)


@dataclass(frozen=True)
class Result:
    """A trained run. Memory is the highest of a step, in the counter of the step's records."""

    overrides: list[str]
    steps: int
    peak_bytes: int
    step_s: float
    """Median of the training steps."""
    training_s: float
    """Of all steps, waiting for data among them; not launching, checkpoints and scoring."""
    scores: Scores


class Workshop:
    """A folder with the runs of one set of tables, and the recipe that they share."""

    def __init__(
        self, folder: Path, recipe: str, shared: Sequence[str], commands: Commands
    ) -> None:
        """
        Args:
            shared: overrides of the recipe for all runs, the paths of the data among them.
            commands: what trains and scores.
        """
        self.folder = folder
        self.recipe = recipe
        self.shared = tuple(shared)
        self.commands = commands

    def result_file(self, name: str) -> Path:
        return self.folder / "results" / f"{name}.json"

    def run_folder(self, name: str) -> Path:
        return self.folder / "runs" / name

    def result(self, name: str, overrides: Sequence[str], watch: Watch) -> Result:
        """Train and score, or read what was found before.

        Raises:
            ConfigError: a command failed, or the result is of another recipe.
        """
        path, all_overrides = self.result_file(name), [*self.shared, *overrides]
        if not path.is_file():
            for way in _ARGUMENTS:  # of an earlier model
                self.result_file(f"{name}-{way}").unlink(missing_ok=True)
            self.train(name, all_overrides, watch)
            result = self._summary(name, all_overrides, self.score(name))
            _write(path, asdict(result) | {"scores": result.scores.to_json()})
        return self._read(path, all_overrides)

    def export_folder(self, name: str) -> Path:
        return self.run_folder(name) / "exported"

    def train(self, name: str, overrides: Sequence[str], watch: Watch) -> None:
        """To the end of the recipe's epochs, from wherever an earlier launch was stopped."""
        run = self.run_folder(name)
        changes = [word for override in overrides for word in ("--set", override)]
        self.commands.run(
            name,
            "pretrain.py",
            *("--recipe", self.recipe, "--deepspeed_config", DEEPSPEED_CONFIG),
            *("--output-dir", run, "--resume", "auto", *changes),
            watch=lambda: watch(self.steps_taken(name)),
        )

    def steps_taken(self, name: str) -> int:
        """Until now, over all launches."""
        return RunDirectory(self.run_folder(name)).steps_taken()

    def steps_kept(self, name: str) -> int:
        """Of the newest checkpoint, from which the next launch goes on."""
        tag = RunDirectory(self.run_folder(name)).newest_tag()
        return step_of(tag) if tag else 0

    def score(self, name: str, way: Way = "as_trained") -> Scores:
        """Of a trained run, on all questions."""
        output = self.run_folder(name) / f"egomcq_{way}.json"
        if not output.is_file():
            arguments = ("--run", self.run_folder(name), "--output", output, *_ARGUMENTS[way])
            self._check_there(name)
            log = f"{name}-{way}"  # several at a time
            self.commands.run(log, "evaluate_egomcq.py", "--precision", _precision(), *arguments)
        return Scores.of_file(output)

    def other_score(self, name: str, way: Way) -> Scores:
        """The same, kept beside the results.

        Raises:
            ConfigError: a command failed, or the file is damaged.
        """
        path = self.result_file(f"{name}-{way}")
        if not path.is_file():
            _write(path, self.score(name, way).to_json())
        with _damage_named(path):
            return Scores.of_json(json.loads(path.read_text(encoding="utf-8")))

    def export(self, name: str) -> Path:
        """The model of a trained run, as a folder that others start from.

        Raises:
            ConfigError: the command failed, or the run is gone, though its result is there.
        """
        folder = self.export_folder(name)
        if not (folder / "config.json").is_file():  # written last
            self._check_there(name)
            shutil.rmtree(folder, ignore_errors=True)
            self.commands.run(name, "export.py", self.run_folder(name), "--output", folder)
        return folder

    def _check_there(self, name: str) -> None:
        if not self.run_folder(name).is_dir():
            raise ConfigError(
                f"{self.run_folder(name)}: is gone, and not all was made with it: delete "
                f"{self.folder} to make all runs again"
            )

    def _summary(self, name: str, overrides: list[str], scores: Scores) -> Result:
        records = read_json_lines(RunDirectory(self.run_folder(name)).records_file)
        return Result(
            overrides=overrides,
            steps=records[-1]["step"],
            peak_bytes=max(record.get("peak_bytes", 0) for record in records),
            step_s=float(np.median([record["step_s"] for record in records])),
            training_s=sum(record["step_s"] for record in records),
            scores=scores,
        )

    def _read(self, path: Path, overrides: list[str]) -> Result:
        with _damage_named(path):
            tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            result = Result(**(tree | {"scores": Scores.of_json(tree["scores"])}))
        if result.overrides != overrides:
            raise ConfigError(
                f"{path}: made with other settings: delete {self.folder} or give another "
                "--output-dir"
            )
        return result


def _write(path: Path, tree: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(tree) + "\n")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({error}): delete it to run it again") from None


def _precision() -> str:
    """In which models are scored: the one in which this machine is fastest."""
    return "bf16" if torch.cuda.is_available() or cpu_computes_bf16() else "fp32"
