from pathlib import Path

import pytest

from svitt_ego.data.synthetic.generate import generate


@pytest.fixture(scope="session")
def egosynth(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("egosynth") / "data"
    return generate(folder, "tiny", seed=0, workers=1, progress=False)
