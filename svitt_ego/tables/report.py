"""What the runs show: figures as JSON, tables as Markdown, a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.synthetic.sizes import SIZES
from svitt_ego.durable_files import write_atomically
from svitt_ego.evaluation.egomcq import KINDS
from svitt_ego.evaluation.mcq_questions import Kind
from svitt_ego.profiling.plots import save_png
from svitt_ego.profiling.units import MIB
from svitt_ego.tables.bootstrap import Interval, interval, paired_interval
from svitt_ego.tables.make import Outcome
from svitt_ego.tables.picture import accuracy_picture
from svitt_ego.tables.rows import ALL_EDGES, DENSE_ROW, INFONCE_ROW, OURS, Row, Table
from svitt_ego.tables.runs import Result, Scores

_TITLES: dict[Table, str] = {
    "objective": "Table 1: objective",
    "sparsity": "Table 2: sparsity",
    "ablation": "Ablations",
}


@dataclass(frozen=True)
class Line:
    """A row as it is shown: accuracies in percent over all seeds, the costs of the first seed."""

    name: str
    title: str
    tables: tuple[Table, ...]
    seeds: int
    inter: Interval
    intra: Interval
    peak_bytes: int | None = None
    step_s: float | None = None
    steps: int | None = None
    training_s: float | None = None


@dataclass(frozen=True)
class Difference:
    """Of two rows, in percentage points, seed by seed and question by question."""

    ours: str
    theirs: str
    inter: Interval
    intra: Interval


@dataclass(frozen=True)
class Report:
    size: str
    questions: dict[Kind, int]
    lines: tuple[Line, ...]
    differences: tuple[Difference, ...]
    shortcuts: tuple[Line, ...]


def report_of(outcome: Outcome) -> Report:
    answers = {row.name: [r.scores for r in results] for row, results in outcome.rows}
    lines = [_line("warm_start", "the common start", (), [outcome.warm_start])]
    lines += [_line(row.name, row.title, row.tables, results) for row, results in outcome.rows]
    lines = [line if line.name != ALL_EDGES.name else _without_costs(line) for line in lines]
    if outcome.headline:
        lines.append(_line("headline", "headline, from nothing", ("headline",), [outcome.headline]))
    shortcuts = [
        Line(title, title, ("shortcut",), 1, *(interval(scores.of(k)[None]) for k in KINDS))
        for title, scores in outcome.shortcuts.items()
    ]
    shortcuts += [line for line in lines if "shortcut" in line.tables]
    pairs = [(OURS, INFONCE_ROW), (OURS, DENSE_ROW), (ALL_EDGES, DENSE_ROW), (ALL_EDGES, OURS)]
    pairs += [(row, OURS) for row, _ in outcome.rows if row.tables == ("ablation",)]
    return Report(
        size=outcome.preset.size,
        questions={kind: len(outcome.warm_start.scores.correct[kind]) for kind in KINDS},
        lines=tuple(line for line in lines if "shortcut" not in line.tables),
        differences=tuple(_difference(ours, theirs, answers) for ours, theirs in pairs),
        shortcuts=tuple(shortcuts),
    )


def write_report(report: Report, folder: Path) -> list[Path]:
    """tables.json, tables.md, tables.png."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"tables.{ending}" for ending in ("json", "md", "png")]
    write_atomically(paths[0], json.dumps(asdict(report), indent=1) + "\n")
    write_atomically(paths[1], markdown(report))
    save_png(accuracy_picture(report.lines, report.shortcuts), paths[2])
    return paths


def markdown(report: Report) -> str:
    size = SIZES[report.size]
    counts = ", ".join(f"{number} {kind}" for kind, number in report.questions.items())
    parts = [
        "# The paper's tables on EgoSynth",
        f"Size `{report.size}`: {size.train_videos} training videos, {size.test_videos} held out; "
        f"EgoMCQ-style questions: {counts}; chance is 20. Accuracies of the dual encoder in "
        "percent, with 95% bootstrap intervals over questions and seeds. Memory is the highest of "
        "a training step whose memory was tracked, time its median, training the sum of all steps, "
        "of the first seed; on a CPU each run has its share of the cores (`--jobs`). Made by "
        "`make tables`.",
    ]
    headline = [line for line in report.lines if "headline" in line.tables]
    if headline:
        parts += ["## Headline", _table(headline)]
    for table, title in _TITLES.items():
        lines = [line for line in report.lines if table in line.tables]
        names = {line.name for line in lines}
        start = [line for line in report.lines if line.name == "warm_start"]
        parts += [f"## {title}", _table([*start, *lines])]
        shown = [d for d in report.differences if {d.ours, d.theirs} <= names]
        parts.append(_differences(shown, {line.name: line.title for line in lines}))
        if table == "objective":
            parts.append(
                "The paper, on Ego4D with a tenth of EgoClip an epoch: InfoNCE 89.0 / 43.3, "
                "EgoNCE 89.4 / 53.0 (inter / intra)."
            )
    parts += ["## No shortcuts", _table(report.shortcuts)]
    return "\n\n".join(parts) + "\n"


def _line(name: str, title: str, tables: tuple[Table, ...], results: Sequence[Result]) -> Line:
    scores = [result.scores for result in results]
    return Line(
        name,
        title,
        tables,
        len(results),
        *(interval(_stack(scores, kind)) for kind in KINDS),
        peak_bytes=results[0].peak_bytes,
        step_s=results[0].step_s,
        steps=results[0].steps,
        training_s=results[0].training_s,
    )


def _without_costs(line: Line) -> Line:
    """Of a row that was not trained: the training's would be taken for those of evaluating."""
    return replace(line, peak_bytes=None, step_s=None, steps=None, training_s=None)


def _difference(ours: Row, theirs: Row, answers: dict[str, list[Scores]]) -> Difference:
    """Over the seeds that both have."""
    seeds = min(len(answers[ours.name]), len(answers[theirs.name]))
    both = [answers[row.name][:seeds] for row in (ours, theirs)]
    return Difference(
        ours.name,
        theirs.name,
        *(paired_interval(*(_stack(scores, kind) for scores in both)) for kind in KINDS),
    )


def _stack(scores: Sequence[Scores], kind: Kind) -> NDArray[np.bool_]:
    return np.stack([of_seed.of(kind) for of_seed in scores])


def _table(lines: Sequence[Line]) -> str:
    rows: list[Sequence[Any]] = [
        ("row", "seeds", "inter", "intra", "peak, MiB", "step, s", "steps", "training, min"),
        ("---",) * 8,
    ]
    rows += [
        (
            line.title,
            line.seeds,
            _shown(line.inter),
            _shown(line.intra),
            "" if line.peak_bytes is None else f"{line.peak_bytes / MIB:.0f}",
            "" if line.step_s is None else f"{line.step_s:.2f}",
            "" if line.steps is None else line.steps,
            "" if line.training_s is None else f"{line.training_s / 60:.1f}",
        )
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _differences(differences: Sequence[Difference], titles: dict[str, str]) -> str:
    rows = ["| difference, points | inter | intra |", "|---|---|---|"]
    rows += [
        f"| {titles[d.ours]} - {titles[d.theirs]} "
        f"| {_shown(d.inter, '+')} | {_shown(d.intra, '+')} |"
        for d in differences
    ]
    return "\n".join(rows)


def _shown(value: Interval, sign: str = "") -> str:
    return f"{value.mean:{sign}.1f} ({value.low:{sign}.1f} to {value.high:{sign}.1f})"
