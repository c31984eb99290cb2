"""All runs of a preset, each once, as many at a time as there are shares of the cores."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from svitt_ego.config import ConfigError, Recipe, load_recipe
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.sampler import epoch_sampler
from svitt_ego.data.synthetic.generate import generate
from svitt_ego.data.synthetic.sizes import SIZES
from svitt_ego.side_by_side.commands import Commands
from svitt_ego.side_by_side.core_shares import CoreShares
from svitt_ego.tables.presets import Preset
from svitt_ego.tables.rows import ALL_EDGES, HEADLINE, OURS, SEEDED, WARM_START, Row
from svitt_ego.tables.runs import Result, Scores, Way, Workshop
from svitt_ego.tables.shortcuts import nearest_length, read_file, text_only

RECIPE = "egosynth"
WARM = "warm_start"
WATCHED_SO: dict[str, Way] = {"frames shuffled": "shuffled", "one frame repeated": "still"}
"""How a trained model's clips are spoilt: by what the reports call it."""


@dataclass(frozen=True)
class Outcome:
    """Everything that the report shows.

    rows: results by seed; shortcuts: by title, who answers without watching the whole clip.
    """

    preset: Preset
    warm_start: Result
    rows: tuple[tuple[Row, tuple[Result, ...]], ...]
    headline: Result | None
    shortcuts: dict[str, Scores]


def make_runs(preset: Preset, folder: Path, dataset: Path, jobs: int | None = None) -> Outcome:
    """Make what is missing in `folder`.

    Args:
        dataset: where EgoSynth of the preset's size is, or will be.
        jobs: runs at a time, each on its share of the cores; None: as `CoreShares`.

    Raises:
        ConfigError: a command failed, or the folder holds runs of other settings.
    """
    generate(dataset, preset.size)
    shared = [
        *(f"{key}={value}" for key, value in _data_keys(dataset, preset.size).items()),
        *preset.overrides,
    ]
    commands = Commands(folder / "logs", CoreShares(jobs))
    workshop = Workshop(folder, RECIPE, shared, commands)
    with _progress(workshop, preset) as bar, commands.side_by_side() as later:

        def run(name: str, epochs: float, *overrides: str) -> Future[Result]:
            return later(bar.result, name, (f"training.epochs={epochs}", *overrides))

        names = {
            row: [f"{row.name}-{seed}" for seed in range(seeds_of(row, preset))]
            for row in preset.rows
        }
        _check_start(workshop, [name for of_row in names.values() for name in of_row])
        headline = None
        if preset.headline_epochs:  # the longest comes first, beside all others
            headline = run(HEADLINE.name, preset.headline_epochs, *HEADLINE.overrides)
        warm = run(WARM, preset.warm_epochs, *WARM_START).result()
        if not all(workshop.result_file(name).is_file() for name in chain(*names.values())):
            later(workshop.export, WARM).result()
        start = f"model.pretrained={workshop.export_folder(WARM)}"
        rows = {
            row: [
                run(name, preset.row_epochs, start, f"seed={seed}", *row.overrides)
                for seed, name in enumerate(of_row)
            ]
            for row, of_row in names.items()
        }
        everything = [found for of_row in rows.values() for found in of_row]
        for found in as_completed([*everything, headline] if headline else everything):
            found.result()  # raises the first error there is
        all_edges = [later(workshop.other_score, name, "all_edges") for name in names[OURS]]
        watched = HEADLINE.name if headline else f"{OURS.name}-0"
        tricks = {
            f"{watched}, {title}": later(workshop.other_score, watched, way)
            for title, way in WATCHED_SO.items()
        }
        shortcuts = _unwatched(dataset) | {title: found.result() for title, found in tricks.items()}
        results = {row: tuple(found.result() for found in of_row) for row, of_row in rows.items()}
        seen_whole = tuple(
            replace(result, scores=scores.result())
            for result, scores in zip(results[OURS], all_edges, strict=True)
        )
    return Outcome(
        preset,
        warm,
        ((OURS, results.pop(OURS)), (ALL_EDGES, seen_whole), *results.items()),
        headline.result() if headline else None,
        shortcuts,
    )


def _check_start(workshop: Workshop, names: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: there are results of rows, but not of what they started from.
    """
    made = [name for name in names if workshop.result_file(name).is_file()]
    if made and not workshop.result_file(WARM).is_file():
        raise ConfigError(
            f"{workshop.result_file(made[0])}: started from a run whose result is gone: delete "
            f"{workshop.folder} to make all runs again"
        )


def seeds_of(row: Row, preset: Preset) -> int:
    """How many runs a row has."""
    return preset.seeds if row in SEEDED else 1


def _data_keys(dataset: Path, size: str) -> dict[str, object]:
    return {
        "data.metadata": dataset / "egoclip.csv",
        "data.videos.root": dataset / "videos",
        "data.videos.chunk_s": float(SIZES[size].chunk_s),
        "data.tokenizer": dataset / "tokenizer",
        "evaluation.egomcq": dataset / "egomcq.json",
    }


def _unwatched(dataset: Path) -> dict[str, Scores]:
    """Who answers without any picture."""
    questions = read_file(dataset / "egomcq.json")
    kinds = {"inter": 1, "intra": 2}
    table = ClipTable.open(dataset / "egoclip.csv", progress=False)
    parts = {
        kind: {key: question for key, question in questions.items() if question["types"] == code}
        for kind, code in kinds.items()
    }
    return {
        "narration alone": Scores({k: text_only(part).tolist() for k, part in parts.items()}),
        "nearest clip length": Scores(
            {k: nearest_length(part, table).tolist() for k, part in parts.items()}
        ),
    }


class _Bar:
    """Counts the training steps of all runs; scoring is part of the last one's time."""

    def __init__(self, workshop: Workshop, bar: tqdm) -> None:
        self._workshop = workshop
        self._bar = bar
        self._lock = Lock()
        self._done: dict[str, int] = {}
        self._current: list[str] = []

    def result(self, name: str, overrides: tuple[str, ...]) -> Result:
        # Steps of an earlier call took no time of this one: not to be counted in the estimate.
        made = self._workshop.result_file(name).is_file()
        with self._lock:
            self._bar.initial += 0 if made else self._workshop.steps_kept(name)
            self._current.append(name)
        result = self._workshop.result(name, overrides, partial(self._show, name))
        with self._lock:
            self._bar.initial += result.steps if made else 0
            self._current.remove(name)
            self._draw(name, result.steps)
        return result

    def _show(self, name: str, steps: int) -> None:
        with self._lock:
            self._draw(name, steps)

    def _draw(self, name: str, steps: int) -> None:
        self._done[name] = steps
        self._bar.set_postfix_str(" | ".join(self._current), refresh=False)
        self._bar.n = sum(self._done.values())
        self._bar.refresh()


@contextmanager
def _progress(workshop: Workshop, preset: Preset) -> Iterator[_Bar]:
    with tqdm(total=_total_steps(workshop, preset), unit="step", desc="tables") as bar:
        yield _Bar(workshop, bar)


def _total_steps(workshop: Workshop, preset: Preset) -> int:
    recipe = load_recipe(workshop.recipe, workshop.shared)
    clips = len(ClipTable.open(recipe.data.metadata, progress=False))
    runs = sum(seeds_of(row, preset) for row in preset.rows)
    steps = (preset.warm_epochs + runs * preset.row_epochs) * _steps_per_epoch(recipe, clips)
    if preset.headline_epochs:
        headline = load_recipe(workshop.recipe, (*workshop.shared, *HEADLINE.overrides))
        steps += preset.headline_epochs * _steps_per_epoch(headline, clips)
    return math.ceil(steps)


def _steps_per_epoch(recipe: Recipe, clips: int) -> int:
    return epoch_sampler(recipe, clips).steps_per_epoch
