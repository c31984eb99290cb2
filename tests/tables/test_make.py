"""Runs that were made are read; only what is missing is made."""

import shutil

import numpy as np
import pytest

from svitt_ego.config import ConfigError
from svitt_ego.tables.make import make_runs
from svitt_ego.tables.presets import PRESETS
from svitt_ego.tables.runs import Result, Scores, Workshop


@pytest.fixture
def stand_ins(monkeypatch):
    """Instead of trainings: answers by chance, and the names of what was trained and exported,
    and scored otherwise than as trained."""
    made, rng = [], np.random.default_rng()

    def score(workshop, name, way="as_trained"):
        if way != "as_trained":
            made.append(f"{name} {way}")
        return Scores({kind: (rng.random(5) < 0.5).tolist() for kind in ("inter", "intra")})

    def train(workshop, name, overrides, watch):
        workshop.run_folder(name).mkdir(parents=True, exist_ok=True)
        made.append(name)

    def summary(workshop, name, overrides, found):
        return Result(overrides, 7, 2**20, 0.5, 3.5, found)

    def export(workshop, name):
        made.append(f"export of {name}")
        return workshop.export_folder(name)

    for method in (train, export, score):
        monkeypatch.setattr(Workshop, method.__name__, method)
    monkeypatch.setattr(Workshop, "_summary", summary)
    return made


def test_results_alone_make_the_tables_again(stand_ins, egosynth, tmp_path):
    preset, folder = PRESETS["smoke"], tmp_path / "tables"
    first = make_runs(preset, folder, egosynth, jobs=1)
    of_rows = [f"{row.name}-0" for row in preset.rows]
    assert stand_ins[:2] == ["warm_start", "export of warm_start"]
    ways = [f"sparse-0 {way}" for way in ("all_edges", "shuffled", "still")]
    assert sorted(stand_ins[2:]) == sorted([*of_rows, *ways])
    assert [row.name for row, _ in first.rows][:2] == ["sparse", "sparse_all_edges"]
    start = f"model.pretrained={folder / 'runs' / 'warm_start' / 'exported'}"
    assert all(start in result.overrides for _, of_row in first.rows for result in of_row)

    stand_ins.clear()
    (folder / "results" / "dense-0.json").unlink()
    make_runs(preset, folder, egosynth, jobs=1)
    assert stand_ins == ["export of warm_start", "dense-0"]

    stand_ins.clear()
    (folder / "results" / "sparse-0.json").unlink()
    second = make_runs(preset, folder, egosynth, jobs=1)
    assert stand_ins == ["export of warm_start", "sparse-0", *ways]

    shutil.rmtree(folder / "runs")
    stand_ins.clear()
    assert make_runs(preset, folder, egosynth, jobs=1) == second
    assert stand_ins == []


def test_rows_are_not_taken_for_those_of_another_start(stand_ins, egosynth, tmp_path):
    folder = tmp_path / "tables"
    make_runs(PRESETS["smoke"], folder, egosynth, jobs=1)
    stand_ins.clear()
    (folder / "results" / "warm_start.json").unlink()
    with pytest.raises(ConfigError, match=r"sparse-0\.json: started from a run whose result is"):
        make_runs(PRESETS["smoke"], folder, egosynth, jobs=1)
    assert stand_ins == []


def test_results_of_another_preset_are_refused(stand_ins, egosynth, tmp_path):
    folder = tmp_path / "tables"
    make_runs(PRESETS["smoke"], folder, egosynth, jobs=1)
    stand_ins.clear()
    (folder / "results" / "warm_start.json").write_text(
        (folder / "results" / "dense-0.json").read_text()
    )
    with pytest.raises(ConfigError, match=r"warm_start\.json: made with other settings"):
        make_runs(PRESETS["smoke"], folder, egosynth, jobs=1)
    assert stand_ins == []
