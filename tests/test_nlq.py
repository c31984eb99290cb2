"""What `make nlq` reports comes from the prediction files of its rows."""

import json
import os
from collections import defaultdict

import pytest

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.grounding.features import query_file
from svitt_ego.grounding.prediction_file import write_predictions
from svitt_ego.grounding.queries import read_queries
from svitt_ego.nlq import pipeline as steps
from svitt_ego.nlq.pipeline import Pipeline
from svitt_ego.nlq.rows import CENTRE, FLOORS, MAIN, QUERIES, ROWS
from svitt_ego.nlq.summary import summarise, table
from svitt_ego.training.run_directory import RunDirectory
from tests.grounding.nlq_files import nlq_clip, nlq_query, write_features, write_nlq


@pytest.fixture
def pipeline(tmp_path):
    pipeline = Pipeline(tmp_path)
    pipeline.val = write_nlq(
        tmp_path / "nlq_val.json",
        nlq_clip(
            "a",
            nlq_query(1, 3),
            nlq_query(2, 4, None),
            nlq_query(5, 9) | {"template": "Place: Where did I put X?"},
        ),
    )
    return pipeline


def test_summary_and_table(pipeline):
    queries = read_queries(pipeline.val)
    first, second = queries.usable
    right = {first.id: [first.window_s], second.id: [(15.0, 16.0), second.window_s]}
    half = {query.id: [(15.0, 16.0), query.window_s] for query in queries.usable}
    (pipeline.root / "predictions").mkdir()
    for name in (*(row.name for row in ROWS), CENTRE):
        answers = right if name == MAIN.name else {} if name == CENTRE else half
        write_predictions(pipeline._predictions(name), queries.usable, answers)
    summary = summarise(queries, pipeline._predictions)
    assert (summary["queries"], summary["null_queries"], summary["clips"]) == (2, 1, 1)
    recalls = {name: row["recalls"] for name, row in summary["rows"].items()}
    assert recalls[MAIN.name]["R@1 IoU>0.3"] == 50
    assert recalls["VSLNet"]["R@1 IoU>0.3"] == 0 and recalls["VSLNet"]["R@5 IoU>0.5"] == 100
    assert recalls[CENTRE]["R@5 IoU>0.3"] == 0
    assert set(FLOORS) < set(recalls)
    of_objects, of_places = (
        summary["by_template"][template]
        for template in (nlq_query(0, 1)["template"], "Place: Where did I put X?")
    )
    assert of_objects["queries"] == of_places["queries"] == 1
    assert (of_objects["R@1 IoU>0.3"], of_places["R@1 IoU>0.3"]) == (100, 0)
    assert json.loads(json.dumps(summary)) == summary
    shown = table(summary | {"wall_s": 1.5, "timeline": "timeline.png"})
    for said in ("VSLNet", "centre prior", "100.00", "2 queries about 1 clips", "1.5"):
        assert said in shown


def test_floor_rows_are_given_nothing_to_see_or_to_read(pipeline):
    features = pipeline.features
    write_features(features, ["a"])
    inputs = {row.name: pipeline._inputs(row, pipeline.val) for row in ROWS}
    own = f"data.features={features}", "data.text_features=null"  # beside the clips, of any queries
    assert inputs[MAIN.name] == inputs["VSLNet"] == own
    noise = pipeline.root / "random_features" / "features"
    assert inputs["random features"] == (
        f"data.features={noise}",
        f"data.text_features={features}/queries_nlq_val.safetensors",
    )
    assert (noise / "a.safetensors").is_file()
    blank = pipeline.root / "text_free" / "queries_nlq_val.safetensors"
    assert inputs["text-free"] == (own[0], f"data.text_features={blank}")
    assert blank.is_file()


def test_training_reads_what_is_in_the_output_folder(pipeline, monkeypatch):
    commands = []
    monkeypatch.setattr(pipeline.commands, "run", lambda *command, **_: commands.append(command))
    write_features(pipeline.features, ["a"])
    texts = [query_file(pipeline.features, path) for path in (pipeline.narrations, pipeline.train)]
    pointer = RunDirectory(pipeline.root / "grounding" / "narrations").pointer
    for path in (*texts, pointer):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    pipeline._train_row(MAIN, print)
    of_narrations, of_queries = commands
    assert f"data.train_queries={pipeline.narrations}" in of_narrations
    assert f"data.train_queries={pipeline.train}" in of_queries
    assert f"model.pretrained={pointer.parents[1]}" in of_queries


def test_each_row_is_trained_and_answered_after_that(pipeline, monkeypatch):
    pipeline.train = write_nlq(pipeline.root / "nlq_train.json", nlq_clip("a", nlq_query(1, 3)))
    done = defaultdict(list)
    write_features(pipeline.features, ["a"])
    monkeypatch.setattr(
        pipeline.commands, "run", lambda folder, script, *_, **__: done[folder].append(script)
    )
    pipeline._make_rows()
    once = ["train_grounding.py", "evaluate_grounding.py"]
    assert done == {row.folder: once if row is not MAIN else [once[0], *once] for row in ROWS}

    def refuse(folder, script, *_, **__):
        raise ConfigError(f"no room for {folder}")

    monkeypatch.setattr(pipeline.commands, "run", refuse)
    with pytest.raises(ConfigError, match="no room for"):
        pipeline._make_rows()


def test_a_run_older_than_what_it_is_made_from_is_refused(pipeline):
    directory = RunDirectory(pipeline.root / "run", GroundingRecipe)
    recipe = load_recipe(QUERIES, (), GroundingRecipe)
    assert not steps._is_trained(directory, recipe, [])
    directory.write_setup(recipe, {}, {"total_steps": 3})
    directory.weights_file("step-000003").parent.mkdir(parents=True)
    directory.weights_file("step-000003").touch()
    directory.pointer.touch()
    source = pipeline.root / "index.json"
    source.touch()
    os.utime(source, (1, 1))
    assert steps._is_trained(directory, recipe, [source])
    os.utime(directory.pointer, (0, 0))
    with pytest.raises(ConfigError, match=r"run: is older than .*index\.json: remove it"):
        steps._is_trained(directory, recipe, [source])


def test_noise_and_blanks_are_made_anew_after_what_they_stand_for(pipeline):
    write_features(pipeline.features, ["a"])
    blind, deaf = (row for row in ROWS if not (row.sees and row.reads))
    index = pipeline._features_of(blind) / "index.json"
    blank = pipeline._texts_of(deaf, pipeline.val)
    for path in (index, blank):
        os.utime(path, (1, 1))
    pipeline._features_of(blind), pipeline._texts_of(deaf, pipeline.val)
    assert min(path.stat().st_mtime for path in (index, blank)) > 1
