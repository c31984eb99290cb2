"""A run is made by the commands of launch/, once."""

import json

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.side_by_side.commands import Commands
from svitt_ego.side_by_side.core_shares import CoreShares
from svitt_ego.tables.make import RECIPE, _data_keys
from svitt_ego.tables.runs import Scores, Workshop
from svitt_ego.training.run_directory import RunDirectory

SMALL = (
    "training.epochs=1",
    "training.micro_batch_size=8",
    "model.video.layers=3",
    "model.text.layers=1",
    "data.workers=0",
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, egosynth):
    folder = tmp_path_factory.mktemp("tables")
    data = [f"{key}={value}" for key, value in _data_keys(egosynth, "tiny").items()]
    return Workshop(folder / "work", RECIPE, data, Commands(folder / "logs", CoreShares(1)))


def test_a_run_is_trained_and_scored_once(workshop, monkeypatch):
    seen = []
    result = workshop.result("warm", SMALL, seen.append)
    run = RunDirectory(workshop.run_folder("warm"))
    assert run.newest_tag() == f"step-{result.steps:06d}"
    assert result.peak_bytes > 2**20 and result.step_s > 0 and result.training_s >= result.step_s
    answers = json.loads((run.path / "egomcq_as_trained.json").read_text())
    for kind in ("inter", "intra"):
        right = result.scores.of(kind)
        assert len(right) == answers["questions"][kind] == 5
        assert 100 * right.mean() == pytest.approx(answers[kind])

    exported = workshop.export("warm")
    start = (*SMALL, f"model.pretrained={exported}", "training.epochs=1")
    assert workshop.result("next", start, seen.append).steps == result.steps

    still = workshop.other_score("warm", "still")
    assert still == Scores.of_file(run.path / "egomcq_still.json")

    monkeypatch.setattr(workshop.commands, "run", lambda *_, **__: pytest.fail("made again"))
    assert workshop.result("warm", SMALL, seen.append) == result
    assert workshop.other_score("warm", "still") == still
    assert workshop.export("warm") == exported
    with pytest.raises(ConfigError, match=r"warm\.json: made with other settings"):
        workshop.result("warm", SMALL[1:], seen.append)


def test_what_a_command_complains_of_is_passed_on(workshop):
    with pytest.raises(ConfigError, match=r"pretrain.py of bad failed with exit code 2: error: "):
        workshop.result("bad", ("model.video.layers=0",), lambda _: None)
    assert not workshop.result_file("bad").exists()


def test_what_is_made_of_a_run_that_is_gone_is_refused(workshop):
    for make in (workshop.export, workshop.score):
        with pytest.raises(ConfigError, match=r"runs/gone: is gone, and not all was made with it"):
            make("gone")


def test_a_damaged_result_is_named(workshop):
    path = workshop.result_file("torn")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"overrides": [')
    with pytest.raises(ConfigError, match=r"torn\.json: damaged .* delete it to run it again"):
        workshop.result("torn", (), lambda _: None)


def test_scores_are_those_of_the_dual_encoder(tmp_path):
    answers = [
        {"kind": kind, "answer": 1, "chosen": {"dual": dual, "fusion": 1}}
        for kind, dual in (("inter", 1), ("intra", 0), ("inter", 0), ("intra", None))
    ]
    (tmp_path / "egomcq.json").write_text(json.dumps({"answers": answers}))
    scores = Scores.of_file(tmp_path / "egomcq.json")
    assert scores.correct == {"inter": [True, False], "intra": [False, False]}
    assert scores.to_json() == {"inter": "10", "intra": "00"}
    assert Scores.of_json(scores.to_json()) == scores
    for damaged in ({"inter": "10"}, {"inter": "12", "intra": "00"}, {"inter": 1, "intra": "0"}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            Scores.of_json(damaged)
