"""Everything a run leaves behind, in one folder:

recipe.yaml, deepspeed.json    as resolved at the last launch
launches.jsonl                 a line per launch: when, on what, from which step
records.jsonl                  a line per step
skipped.jsonl                  a line per step whose loss or gradient was not finite
lock                           held while a training writes here
checkpoints/                   see `svitt_ego.training.checkpoint`
tensorboard/
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from svitt_ego.config import ConfigError, Recipe, dump_recipe
from svitt_ego.config.base import BaseRecipe
from svitt_ego.config.load import parse_yaml, recipe_from_tree
from svitt_ego.durable_files import read_json_lines, write_atomically

POINTER = "latest"
WEIGHTS = "model.safetensors"

# What may differ between a run and its resumption without making it another run; a recipe names
# more of its own.
CHANGEABLE = {
    "name",
    "data.workers",
    "data.max_unreadable_share",
    "training.checkpoint_every_steps",
    "training.keep_checkpoints",
    "training.keep_every_steps",
    "training.keep_best",
    "training.best_metric",
    "training.track_memory_every_steps",
    "training.micro_batch_size",  # these two: see `batch_split`
    "training.gradient_accumulation_steps",
    "optimisation.max_skipped_steps",
}


class RunDirectory:
    weights_name = WEIGHTS

    def __init__(self, path: str | Path, kind: type[BaseRecipe] = Recipe) -> None:
        """
        Args:
            kind: of the run's recipe.
        """
        self.path = Path(path)
        self.kind = kind
        self.recipe_file = self.path / "recipe.yaml"
        self.deepspeed_file = self.path / "deepspeed.json"
        self.launches_file = self.path / "launches.jsonl"
        self.records_file = self.path / "records.jsonl"
        self.skipped_file = self.path / "skipped.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.pointer = self.checkpoints / POINTER

    def read_recipe(self) -> Any:
        """The resolved recipe of the run, of its kind.

        Raises:
            ConfigError: there is none, or it is not valid any more.
        """
        if not self.recipe_file.is_file():
            raise ConfigError(f"{self.path}: not a run directory: it has no recipe.yaml")
        source = str(self.recipe_file)
        try:
            text = self.recipe_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: cannot be read: {error}") from None
        return recipe_from_tree(parse_yaml(text, source), {}, source, self.kind)

    def check_can_start(self, resume: bool) -> None:
        """Raises:
        ConfigError: the directory holds a run and it was not asked to resume it, or no run can
            be written there.
        """
        existing = next(path for path in (self.path, *self.path.parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise ConfigError(f"--output-dir {self.path}: {existing} is not a folder to write to")
        if self.recipe_file.exists() and not resume:
            raise ConfigError(
                f"{self.path}: holds a run already; continue it with --resume auto or give another "
                "--output-dir"
            )

    def check_same_run(self, recipe: BaseRecipe) -> None:
        """Raises:
        ConfigError: the recipe differs from the one the run was started with.
        """
        if not self.recipe_file.exists():
            return
        old = _flat(self.read_recipe().model_dump(mode="json"))
        new = _flat(recipe.model_dump(mode="json"))
        differing = [
            f"{key} = {new.get(key)!r} was {old.get(key)!r}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key) and key not in CHANGEABLE | recipe.changeable
        ]
        if differing:
            raise ConfigError(
                f"{self.path}: the run was started with another recipe: {'; '.join(differing[:3])}"
                f"{' …' if len(differing) > 3 else ''}; resume with the same one or give another "
                "--output-dir"
            )

    def check_readable(self) -> None:
        """Raises:
        ConfigError: a line of what earlier launches wrote is not JSON, or of no step.
        """
        read_json_lines(self.launches_file)
        for path in (self.records_file, self.skipped_file):
            for number, record in enumerate(read_json_lines(path), start=1):
                if type(record.get("step")) is not int:
                    raise ConfigError(f"{path}: line {number}: has no step: remove the line")

    def write_setup(
        self, recipe: BaseRecipe, deepspeed_config: dict[str, Any], launch: dict[str, Any]
    ) -> None:
        """Recipe and DeepSpeed config as this launch resolved them, and a line about it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.recipe_file, dump_recipe(recipe))
        write_atomically(self.deepspeed_file, json.dumps(deepspeed_config, indent=2) + "\n")
        launches = [*self.launches(), launch | environment()]
        write_atomically(self.launches_file, "".join(json.dumps(x) + "\n" for x in launches))

    def launches(self) -> list[dict[str, Any]]:
        """One entry per launch: first_step, total_steps, world_size and `environment`."""
        return read_json_lines(self.launches_file)

    def steps_taken(self) -> int:
        """Until now, over all launches; those after the newest checkpoint are to be taken again."""
        file = self.records_file
        return file.read_bytes().count(b"\n") if file.is_file() else 0

    def tags(self) -> list[str]:
        """Names of the checkpoints, the newest first: by their steps, whatever their dates."""
        folders = (path for path in self.checkpoints.glob("step-*") if path.is_dir())
        tags = [path.name for path in folders if path.name.removeprefix("step-").isdecimal()]
        return sorted(tags, key=step_of, reverse=True)

    def newest_tag(self) -> str | None:
        """The newest checkpoint that has weights, None where there is none yet."""
        return next((tag for tag in self.tags() if self.weights_file(tag).is_file()), None)

    def weights_file(self, tag: str) -> Path:
        return self.checkpoints / tag / WEIGHTS

    def weights_files(self) -> list[Path]:
        """Of all checkpoints."""
        return sorted(self.checkpoints.glob(f"step-*/{WEIGHTS}"))


def tag_of(step: int) -> str:
    """Name of the checkpoint of a step."""
    return f"step-{step:06d}"


def step_of(tag: str) -> int:
    """Step of a checkpoint's name."""
    return int(tag.removeprefix("step-"))


def environment() -> dict[str, Any]:
    """What a run ran on."""
    cuda = torch.cuda.is_available()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else ["cpu"],
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Versions of what decides how a run computes and what its checkpoints look like."""
    return {name: version(name) for name in ("torch", "deepspeed", "transformers")}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= _flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _git_revision() -> str | None:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
