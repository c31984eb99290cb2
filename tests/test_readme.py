"""What README promises can be typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from svitt_ego.config import load_recipe

README = Path("README.md").read_text(encoding="utf-8")


def test_named_files_and_folders_exist():
    named = set(re.findall(r"\b(?:launch|ds_configs|svitt_ego|docs)/[\w./-]*\w", README))
    assert len(named) > 8
    missing = [name for name in named if not Path(name).exists()]
    assert not missing


def test_linked_images_exist():
    linked = re.findall(r"!\[[^\]]*\]\(([^)\s]+)", README)
    assert linked
    assert not [image for image in linked if not Path(image).is_file()]


def test_every_shipped_recipe_is_listed():
    for recipe in Path("launch/recipes").glob("*.yaml"):
        assert f"| `{recipe.stem}` |" in README
        load_recipe(recipe.stem)


def test_make_targets_exist():
    makefile = Path("Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)\b", README)) - {"a"}
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in named), named


@pytest.mark.parametrize("script", sorted(Path("launch").glob("*.py")), ids=lambda p: p.name)
def test_help(script):
    ended = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0 and "usage:" in ended.stdout, ended.stderr
    options = re.findall(rf"{script.name}[^`]*?(--[\w-]+)", README)
    assert all(option in ended.stdout for option in options), options
