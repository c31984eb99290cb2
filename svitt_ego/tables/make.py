"""All runs of a preset, one after the other, each once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from svitt_ego.config import load_recipe
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.sampler import epoch_sampler
from svitt_ego.data.synthetic.generate import generate
from svitt_ego.data.synthetic.sizes import SIZES
from svitt_ego.tables.presets import Preset
from svitt_ego.tables.rows import HEADLINE, SEEDED, WARM_START, Row
from svitt_ego.tables.runs import Result, Scores, Watch, Workshop
from svitt_ego.tables.shortcuts import nearest_length, read_file, text_only

RECIPE = "egosynth"
WARM = "warm_start"


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


def make_runs(preset: Preset, folder: Path, dataset: Path) -> Outcome:
    """Make what is missing in `folder`.

    Args:
        dataset: where EgoSynth of the preset's size is, or will be.

    Raises:
        ConfigError: a command failed, or the folder holds runs of other settings.
    """
    generate(dataset, preset.size)
    shared = [
        *(f"{key}={value}" for key, value in _data_keys(dataset, preset.size).items()),
        *preset.overrides,
    ]
    workshop = Workshop(folder, RECIPE, shared)
    with _progress(workshop, preset) as bar:
        warm = bar.result(WARM, (f"training.epochs={preset.warm_epochs}", *WARM_START))
        start = f"model.pretrained={workshop.export(WARM)}"
        rows = []
        for row in preset.rows:
            epochs = (f"training.epochs={preset.row_epochs}", start)
            rows.append(
                (
                    row,
                    tuple(
                        bar.result(f"{row.name}-{seed}", (*epochs, f"seed={seed}", *row.overrides))
                        for seed in range(seeds_of(row, preset))
                    ),
                )
            )
        headline = None
        if preset.headline_epochs:
            epochs = (f"training.epochs={preset.headline_epochs}",)
            headline = bar.result(HEADLINE.name, (*epochs, *HEADLINE.overrides))
        bar.say("looking for shortcuts")
        watched = HEADLINE.name if headline else f"{SEEDED[0].name}-0"
        shortcuts = _shortcuts(workshop, watched, dataset)
    return Outcome(preset, warm, tuple(rows), headline, shortcuts)


def seeds_of(row: Row, preset: Preset) -> int:
    return preset.seeds if row in SEEDED else 1


def _data_keys(dataset: Path, size: str) -> dict[str, object]:
    return {
        "data.metadata": dataset / "egoclip.csv",
        "data.videos.root": dataset / "videos",
        "data.videos.chunk_s": float(SIZES[size].chunk_s),
        "data.tokenizer": dataset / "tokenizer",
        "evaluation.egomcq": dataset / "egomcq.json",
    }


def _shortcuts(workshop: Workshop, watched: str, dataset: Path) -> dict[str, Scores]:
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
        f"{watched}, frames shuffled": workshop.score(
            watched, "--frame-order", "shuffled", output="shuffled"
        ),
        f"{watched}, one frame repeated": workshop.score(
            watched, "--frame-order", "still", output="still"
        ),
    }


class _Bar:
    """Counts the training steps of all runs; scoring is part of the last one's time."""

    def __init__(self, workshop: Workshop, bar: tqdm) -> None:
        self._workshop = workshop
        self._bar = bar
        self._done = 0

    def say(self, what: str) -> None:
        self._bar.set_postfix_str(what)

    def result(self, name: str, overrides: tuple[str, ...]) -> Result:
        self.say(name)
        done = self._done
        was_there = self._workshop.result_file(name).is_file()
        result = self._workshop.result(name, overrides, self._watch(done))
        self._done = done + result.steps
        if was_there:  # took no time: not to be counted in the estimate
            self._bar.initial += result.steps
        self._bar.n = self._done
        self._bar.refresh()
        return result

    def _watch(self, done: int) -> Watch:
        def watch(steps: int) -> None:
            self._bar.n = done + steps
            self._bar.refresh()

        return watch


@contextmanager
def _progress(workshop: Workshop, preset: Preset) -> Iterator[_Bar]:
    with tqdm(total=_total_steps(workshop, preset), unit="step", desc="tables") as bar:
        yield _Bar(workshop, bar)


def _total_steps(workshop: Workshop, preset: Preset) -> int:
    recipe = load_recipe(workshop.recipe, workshop.shared)
    rows = len(ClipTable.open(recipe.data.metadata, progress=False))
    per_epoch = epoch_sampler(recipe, rows).steps_per_epoch
    runs = sum(seeds_of(row, preset) for row in preset.rows)
    epochs = preset.warm_epochs + runs * preset.row_epochs + preset.headline_epochs
    return math.ceil(epochs * per_epoch)
