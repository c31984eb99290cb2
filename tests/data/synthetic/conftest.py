from pathlib import Path

import pytest

from svitt_ego.data.synthetic.generate import generate


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EgoSynth tiny, seed 3, made in this process."""
    return generate(tmp_path_factory.mktemp("tiny"), "tiny", seed=3, workers=1, progress=False)
