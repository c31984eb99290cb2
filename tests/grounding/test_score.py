"""The challenge's metric and file, against a plain loop; the timeline; the command."""

import json
import random
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.grounding.prediction_file import read_predictions, write_predictions
from svitt_ego.grounding.queries import Query, read_queries
from svitt_ego.grounding.score import score
from svitt_ego.grounding.timeline import TRUTH, timeline
from tests.grounding.nlq_files import nlq_clip, nlq_query, write_nlq

SCRIPT = Path(__file__).parents[2] / "launch" / "score_grounding.py"


def random_window(end_s: float = 20.0) -> tuple[float, float]:
    start_s = random.uniform(0, end_s - 1)
    return start_s, random.uniform(start_s + 0.5, end_s)


def random_case(count: int = 200):
    queries = [
        Query(f"note{i}", i % 7, "clip", "Where?", 20.0, random_window()) for i in range(count)
    ]
    predictions = {q.id: [random_window() for _ in range(random.randint(0, 8))] for q in queries}
    return queries, predictions


def by_hand(queries, predictions, rank, threshold):
    hits = 0
    for query in queries:
        start, end = query.window_s
        for s, e in predictions[query.id][:rank]:
            shared = max(0.0, min(e, end) - max(s, start))
            if shared / (max(e, end) - min(s, start)) > threshold and shared > 0:
                hits += 1
                break
    return 100 * hits / len(queries)


def test_recall_is_the_plain_loop():
    queries, predictions = random_case()
    result = score(queries, predictions)
    for rank in (1, 5):
        for threshold in (0.3, 0.5):
            expected = by_hand(queries, predictions, rank, threshold)
            assert result.recalls[f"R@{rank} IoU>{threshold}"] == pytest.approx(expected)
    assert result.recalls["R@5 IoU>0.3"] > result.recalls["R@1 IoU>0.5"] > 0
    assert result.unanswered == sum(not p for p in predictions.values()) > 0


def test_the_threshold_itself_is_no_hit():
    query = Query("note", 0, "clip", "Where?", 20.0, (0.0, 10.0))
    recalls = score([query], {"note_0": [(0.0, 5.0)]}).recalls  # IoU exactly 0.5
    assert recalls["R@1 IoU>0.3"] == 100 and recalls["R@1 IoU>0.5"] == 0
    recalls = score([query], {"note_0": [(0.0, 3.0), (0.0, 5.01)]}).recalls  # exactly 0.3, 0.501
    assert recalls["R@1 IoU>0.3"] == 0 and recalls["R@5 IoU>0.5"] == 100


def test_truth_scores_100_and_a_missing_prediction_is_a_miss():
    queries, _ = random_case(50)
    truth = {query.id: [query.window_s] for query in queries}
    assert set(score(queries, truth).recalls.values()) == {100.0}
    assert score(queries, truth).mean_iou == pytest.approx(1.0)
    del truth[queries[0].id]
    assert set(score(queries, truth).recalls.values()) == {98.0}


def test_what_cannot_be_scored_is_named():
    query = Query("note", 0, "clip", "Where?", 20.0, None)
    with pytest.raises(ConfigError, match="query note_0 has no window"):
        score([query], {})
    with pytest.raises(ConfigError, match="query note_0 has no window"):
        score([query], {"other_1": [(0.0, 1.0)]})
    query = replace(query, window_s=(0.0, 1.0))
    with pytest.raises(ConfigError, match="1 predictions are for no query, one is other_1"):
        score([query], {"other_1": [(0.0, 1.0)]})


def test_a_written_file_reads_back_to_the_same_score(tmp_path):
    queries, predictions = random_case()
    path = tmp_path / "predictions.json"
    write_predictions(path, queries, predictions)
    assert read_predictions(path) == predictions
    assert score(queries, read_predictions(path)) == score(queries, predictions)
    tree = json.loads(path.read_text())
    assert (tree["version"], tree["challenge"]) == ("1.0", "ego4d_nlq_challenge")
    assert tree["results"][8]["annotation_uid"] == "note8" and tree["results"][8]["query_idx"] == 1
    assert tree["results"][8]["clip_uid"] == "clip"


def results(**changes):
    result = {"annotation_uid": "note", "query_idx": 0, "predicted_times": [[1, 2]]} | changes
    return {"version": "1.0", "challenge": "ego4d_nlq_challenge", "results": [result]}


WRONG = {
    "not JSON": ("{", "not JSON"),
    "another challenge": (results() | {"challenge": "moments"}, "challenge must be 'ego4d_nlq"),
    "another version": (results() | {"version": 1}, "version = 1: must be '1.0'"),
    "no results": (results() | {"results": None}, "results must be a list"),
    "no uid": (results(annotation_uid=None), "result 0: annotation_uid = None: must be str"),
    "index": (results(query_idx="0"), "result 0: query_idx = '0': must be int"),
    "times": (
        results(predicted_times=[[1]]),
        "result 0: predicted_times holds [1]: must be [start",
    ),
    "NaN": (results(predicted_times=[[1, float("nan")]]), "predicted_times holds [1, nan]"),
    "a time of no float": (results(predicted_times=[[1, 10**400]]), "holds [1, 1000"),
    "twice": (
        results() | {"results": results()["results"] * 2},
        "result 1: query note_0 stands twice",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_prediction_file_is_named(tmp_path, name):
    tree, message = WRONG[name]
    path = tmp_path / "predictions.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        read_predictions(path)
    assert str(caught.value).startswith(str(path))


def test_the_timeline_shows_truth_and_predictions():
    query = Query("note", 0, "clip", "Where?", 20.0, (4.0, 9.0))
    figure = timeline([query], {"note_0": [(5.0, 8.0), (1.0, 2.0)]})
    bars = [c for c in figure.axes[0].collections]
    extents = [bar.get_paths()[0].get_extents() for bar in bars]
    assert [(e.x0, e.x1) for e in extents] == [(4.0, 9.0), (5.0, 8.0), (1.0, 2.0)]
    assert matplotlib_color(bars[0]) == TRUTH != matplotlib_color(bars[1])


def matplotlib_color(bar):
    from matplotlib.colors import to_hex

    return to_hex(bar.get_facecolor()[0])


@pytest.fixture
def command(tmp_path, monkeypatch):
    path = write_nlq(
        tmp_path / "nlq_val.json",
        nlq_clip("a", nlq_query(1, 3), nlq_query(5, 9)),
        nlq_clip("b", nlq_query(4, 6), nlq_query(2, 4, None)),
    )
    queries = read_queries(path).usable
    predictions = tmp_path / "predictions.json"
    write_predictions(predictions, queries, {queries[0].id: [(1.0, 3.1)], queries[2].id: [(0, 5)]})

    def call(*arguments):
        files = ["--queries", str(path), "--predictions", str(predictions)]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *files, *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return call


def test_command_prints_writes_and_draws(command, tmp_path, capsys):
    output, picture = tmp_path / "new" / "score.json", tmp_path / "a.png"
    command("--output", output, "--timeline", "a", "--picture", picture)
    said = capsys.readouterr().out
    assert "3 queries about 2 clips; left out 1 without text and 0 with an empty window" in said
    assert "R@1 IoU>0.5 33.33" in said and "(1 without a prediction)" in said
    assert json.loads(output.read_text())["recalls"]["R@1 IoU>0.5"] == pytest.approx(100 / 3)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_command_ignores_answers_to_queries_left_out(command, tmp_path, capsys):
    predictions = tmp_path / "predictions.json"
    tree = json.loads(predictions.read_text())
    null = results(annotation_uid="note-b", query_idx=1)["results"]
    predictions.write_text(json.dumps(tree | {"results": [*tree["results"], *null]}))
    command()
    said = capsys.readouterr().out
    assert "of 3 queries (1 without a prediction, 1 answers to queries left out)" in said


def test_command_refuses_a_clip_without_queries(command, capsys):
    with pytest.raises(SystemExit) as ending:
        command("--timeline", "nowhere")
    assert ending.value.code == 2
    assert capsys.readouterr().err.strip().endswith("no query is about clip nowhere")
