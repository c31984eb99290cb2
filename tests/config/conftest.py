import pytest

from svitt_ego.config import load_recipe


@pytest.fixture
def write(tmp_path):
    """Writes a recipe file with the sections that must be given, and returns its path."""

    def write(text="", name="mine.yaml"):
        path = tmp_path / name
        path.write_text(f"data: {{metadata: clips.csv, videos: {{root: videos}}}}\n{text}")
        return str(path)

    return write


@pytest.fixture
def load(write):
    """Loads such a recipe."""

    def load(text="", overrides=()):
        return load_recipe(write(text), overrides)

    return load
