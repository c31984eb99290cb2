"""Everything a run leaves behind, in one folder:

recipe.yaml  deepspeed.json  environment.json  records.jsonl  faults.jsonl
checkpoints/{latest, step-000040/…}  tensorboard/
"""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from svitt_ego.config import ConfigError, Recipe, dump_recipe
from svitt_ego.config.load import parse_yaml, recipe_from_tree

# What may differ between a run and its resumption without making it another run.
CHANGEABLE = ("data.workers", "training.checkpoint_every_steps", "training.keep_checkpoints")


class RunDirectory:
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.yaml"
        self.deepspeed_file = self.path / "deepspeed.json"
        self.environment_file = self.path / "environment.json"
        self.records_file = self.path / "records.jsonl"
        self.faults_file = self.path / "faults.jsonl"
        self.checkpoints = self.path / "checkpoints"

    def read_recipe(self) -> Recipe:
        """The resolved recipe of the run.

        Raises:
            ConfigError: there is none, or it is not valid any more.
        """
        if not self.recipe_file.is_file():
            raise ConfigError(f"{self.path}: not a run directory: it has no recipe.yaml")
        text = self.recipe_file.read_text(encoding="utf-8")
        source = str(self.recipe_file)
        return recipe_from_tree(parse_yaml(text, source), {}, source)

    def check_can_start(self, resume: bool) -> None:
        """Raises:
        ConfigError: the directory holds a run and it was not asked to resume it.
        """
        if self.recipe_file.exists() and not resume:
            raise ConfigError(
                f"{self.path}: holds a run already; continue it with --resume auto or give another "
                "--output-dir"
            )

    def check_same_run(self, recipe: Recipe) -> None:
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
            if old.get(key) != new.get(key) and key not in CHANGEABLE
        ]
        if differing:
            raise ConfigError(
                f"{self.path}: the run was started with another recipe: {'; '.join(differing[:3])}"
                f"{' …' if len(differing) > 3 else ''}; resume with the same one or give another "
                "--output-dir"
            )

    def write_setup(self, recipe: Recipe, deepspeed_config: dict[str, Any], world: int) -> None:
        """Recipe, DeepSpeed config and environment as this start resolved them."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.recipe_file, dump_recipe(recipe))
        write_atomically(self.deepspeed_file, json.dumps(deepspeed_config, indent=2) + "\n")
        write_atomically(self.environment_file, json.dumps(environment(world), indent=2) + "\n")


def environment(world_size: int) -> dict[str, Any]:
    """What a run ran on."""
    cuda = torch.cuda.is_available()
    return {
        "command": sys.argv,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "world_size": world_size,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else ["cpu"],
        "packages": {name: version(name) for name in ("torch", "deepspeed", "transformers")},
    }


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old text or the new one, never a part."""
    staging = path.with_name(f"{path.name}.partial")
    with staging.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staging, path)


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
