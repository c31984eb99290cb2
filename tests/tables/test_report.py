"""What is reported comes from the runs' answers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from svitt_ego.tables.make import Outcome, seeds_of
from svitt_ego.tables.presets import PRESETS
from svitt_ego.tables.report import markdown, report_of, write_report
from svitt_ego.tables.rows import ABLATIONS, ALL_EDGES
from svitt_ego.tables.runs import Result, Scores

QUESTIONS = 400


def result(rng, inter, intra, peak_bytes=50 * 2**20):
    correct = {"inter": inter, "intra": intra}
    scores = {kind: (rng.random(QUESTIONS) < share).tolist() for kind, share in correct.items()}
    return Result([], 70, peak_bytes, 0.25, 20.0, Scores(scores))


@pytest.fixture
def outcome():
    rng, preset = np.random.default_rng(2), replace(PRESETS["smoke"], seeds=2, ablations=ABLATIONS)
    share = {"infonce": 0.3, "dense": 0.62, "random": 0.5}
    rows = []
    for row in preset.rows:
        of_row = share.get(row.name, 0.6)
        rows.append((row, tuple(result(rng, 0.9, of_row) for _ in range(seeds_of(row, preset)))))
    rows.append((ALL_EDGES, tuple(result(rng, 0.9, 0.6) for _ in range(preset.seeds))))
    watching = result(rng, 0.8, 0.25).scores
    return Outcome(
        preset, result(rng, 0.9, 0.3), tuple(rows), result(rng, 0.95, 0.7), {"shuffled": watching}
    )


def test_figures(outcome, tmp_path):
    report = report_of(outcome)
    lines = {line.name: line for line in report.lines}
    for row, results in outcome.rows:
        if row.name == "one_frame":
            continue
        accuracies = [np.mean(r.scores.correct["intra"]) for r in results]
        assert lines[row.name].intra.mean == pytest.approx(100 * np.mean(accuracies))
        assert lines[row.name].seeds == len(results) == (2 if "sparsity" in row.tables else 1) or (
            row.name == "infonce"
        )
    differences = {(d.ours, d.theirs): d for d in report.differences}
    objective = differences["sparse", "infonce"]
    assert objective.intra.mean == pytest.approx(
        lines["sparse"].intra.mean - lines["infonce"].intra.mean
    )
    assert 20 < objective.intra.low < objective.intra.mean < objective.intra.high < 40
    assert objective.inter.low < 0 < objective.inter.high
    # one seed of the ablation against the same seed of ours
    ablation = differences["random", "sparse"]
    first = [dict((r.name, s) for r, s in outcome.rows)[name][0] for name in ("random", "sparse")]
    random, ours = (np.mean(r.scores.correct["intra"]) for r in first)
    assert ablation.intra.mean == pytest.approx(100 * (random - ours))
    assert [line.name for line in report.shortcuts] == ["shuffled", "one_frame"]

    paths = write_report(report, tmp_path / "results")
    assert json.loads(paths[0].read_text())["size"] == "tiny"
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    text = paths[1].read_text()
    assert text == markdown(report)
    shown = lines["headline"].intra
    accuracy = f"{shown.mean:.1f} ({shown.low:.1f} to {shown.high:.1f})"
    assert f"| {accuracy} | 50 | 0.25 | 70 | 0.3 |" in text
    table_2 = text[text.index("## Table 2") : text.index("## Ablations")]
    assert "| sparse, EgoNCE, evaluated with all edges - dense, EgoNCE |" in table_2
    assert text.count("evaluated with all edges") == table_2.count("evaluated with all edges") == 3
    for title in ("Table 1: objective", "Table 2: sparsity", "Ablations", "No shortcuts"):
        assert f"## {title}" in text
