"""What `make nlq` runs, each step by the command a user would type.

From raw video to a score: EgoSynth-NLQ, a video-text model trained on its narrations, features, a
grounding model trained on narrations and fine-tuned on queries, and beside it what such a score
must beat. Grounding models are small: on a CPU they are trained side by side, a process each. A
step is skipped where its result is there and newer than what it was made from; a run older than
that is refused.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from tqdm import tqdm

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.config.base import BaseRecipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.cpu_features import cpu_computes_bf16
from svitt_ego.data.synthetic.nlq.generate import generate_nlq
from svitt_ego.durable_files import write_atomically
from svitt_ego.grounding.features import INDEX, query_file
from svitt_ego.grounding.floors import centre_prior, write_blank_texts, write_random_features
from svitt_ego.grounding.prediction_file import write_predictions
from svitt_ego.grounding.queries import Queries, read_queries
from svitt_ego.nlq.rows import CENTRE, MAIN, NARRATIONS, QUERIES, ROWS, VIDEO_TEXT, Row
from svitt_ego.nlq.summary import summarise
from svitt_ego.shown_commands import ALREADY_THERE, is_newer, run_deepspeed, run_python, title
from svitt_ego.side_by_side.commands import Commands
from svitt_ego.side_by_side.core_shares import CoreShares
from svitt_ego.training.run_directory import RunDirectory, step_of

DEEPSPEED_CONFIG = "ds_configs/zero2_cpu.json"


class Pipeline:
    """The steps, with where they leave what."""

    def __init__(self, root: Path, num_accelerators: int | None = None) -> None:
        """
        Args:
            num_accelerators: processes that train the video-text model and extract features; None:
                two, or one where there is one GPU.
        """
        self.root = root
        self.commands = Commands(root / "logs", CoreShares())
        self.processes = num_accelerators or min(2, torch.cuda.device_count()) or 2
        on_cpu = not torch.cuda.is_available()
        self.precision = "bf16" if on_cpu and cpu_computes_bf16() else "fp32"
        recipe = load_recipe(QUERIES, (), GroundingRecipe)
        self.text_width = recipe.model.text_width
        self.train, self.val = Path(recipe.data.train_queries), Path(recipe.data.val_queries)
        self.dataset = self.train.parent
        self.video_text = root / "video_text"
        self.features = root / "features"
        self.narrations = root / "narrations.jsonl"
        self.summary_file = root / "summary.json"
        self.picture = root / "timeline.png"

    def run(self) -> dict[str, Any]:
        """All steps; returns the summary.

        Raises:
            ConfigError: what is there is of another recipe or dataset.
            subprocess.CalledProcessError: a step failed; it said why itself.
        """
        started = time.monotonic()
        title(f"1/5 EgoSynth-NLQ: {self.dataset}")
        generate_nlq(self.dataset, "demo")
        title("2/5 a video-text model, from nothing, on the narrations of the training videos")
        self._train_video_text()
        title("3/5 features of all clips and queries")
        self._extract()
        title(f"4/5 grounding models, side by side: what each says is in {self.commands.logs}")
        self._make_rows()
        title("5/5 scores")
        queries, trained_on = read_queries(self.val), read_queries(self.train)
        write_predictions(
            self._predictions(CENTRE),
            queries.usable,
            centre_prior(trained_on.usable, queries.usable),
        )
        summary = summarise(queries, self._predictions) | {"timeline": str(self.picture)}
        known = self.summary_file.is_file()
        earlier_s = json.loads(self.summary_file.read_text())["wall_s"] if known else 0.0
        summary["wall_s"] = round(earlier_s + time.monotonic() - started, 1)
        write_atomically(self.summary_file, json.dumps(summary, indent=1) + "\n")
        self._draw(queries)
        return summary

    def _train_video_text(self) -> None:
        """
        Raises:
            ConfigError: the run that is there is of another recipe, or older than its dataset.
        """
        run, narrations = RunDirectory(self.video_text), self.dataset / "egoclip.csv"
        if _is_trained(run, load_recipe(VIDEO_TEXT), [narrations]):
            print(f"{self.video_text}: {ALREADY_THERE}")
            return
        run_deepspeed(self.processes, "launch/pretrain.py", *_training(VIDEO_TEXT, self.video_text))

    def _extract(self) -> None:
        index = self.features / INDEX
        train, val = self.train, self.val
        made_from = (RunDirectory(self.video_text).pointer, train, val)
        if all(is_newer(index, source) for source in made_from):
            print(ALREADY_THERE)
            return
        run_python(
            *("launch/narration_queries.py", "--metadata", self.dataset / "egoclip.csv"),
            *("--clips", train, "--output", self.narrations),
        )
        grid = load_recipe(QUERIES, (), GroundingRecipe).data.grid
        run_deepspeed(
            self.processes,
            *("launch/extract_features.py", "--run", self.video_text, "--output", self.features),
            *("--clips", train, val, "--queries", self.narrations, train, val),
            *("--window", int(grid.window_frames), "--stride", int(grid.stride_frames)),
            *("--fps", int(grid.fps), "--precision", self.precision),
        )

    def _make_rows(self) -> None:
        """Train and answer, as many rows at a time as there are shares of the cores."""
        with tqdm(total=len(ROWS), unit="row") as bar, self.commands.side_by_side() as later:
            doing: dict[str, str] = {}
            lock = Lock()

            def show() -> None:
                bar.set_postfix_str(" | ".join(map(": ".join, doing.items())))

            def make(row: Row) -> None:
                def tell(what: str) -> None:
                    with lock:
                        doing[row.name] = what
                        show()

                self._train_row(row, tell)
                tell("answers")
                self._answer(row)
                with lock:
                    del doing[row.name]
                    show()
                    bar.update()

            for made in as_completed([later(make, row) for row in ROWS]):
                made.result()  # raises the first error there is

    def _train_row(self, row: Row, tell: Callable[[str], None]) -> None:
        """On narrations, where the row does so, and then on queries."""
        pretrained = self.root / row.folder / "narrations" if row.pretrains else None
        if pretrained:
            self._ground(row, NARRATIONS, pretrained, self.narrations, tell)
        self._ground(row, row.recipe, self._run_of(row), self.train, tell, pretrained)

    def _ground(
        self,
        row: Row,
        recipe: str,
        run: Path,
        queries: Path,
        tell: Callable[[str], None],
        pretrained: Path | None = None,
    ) -> None:
        """Train a row's model on queries, from a pre-trained run where one is given.

        Raises:
            ConfigError: the run is of another recipe, or older than what it is made from.
        """
        changes = (
            f"model.pretrained={pretrained or 'null'}",
            f"data.train_queries={queries}",
            *self._inputs(row, queries),
        )
        made_from = [self._features_of(row) / INDEX, self._texts_of(row, queries)]
        if pretrained:
            made_from.append(RunDirectory(pretrained).pointer)
        directory = RunDirectory(run, GroundingRecipe)
        if _is_trained(directory, load_recipe(recipe, changes, GroundingRecipe), made_from):
            return
        self.commands.run(
            row.folder,
            "train_grounding.py",
            *_training(recipe, run, *changes),
            watch=lambda: tell(f"step {directory.steps_taken()} on {queries.stem}"),
        )

    def _answer(self, row: Row) -> None:
        output = self._predictions(row.name)
        if is_newer(output, RunDirectory(self._run_of(row)).pointer):
            return
        self.commands.run(
            row.folder,
            *("evaluate_grounding.py", "--run", self._run_of(row), "--queries", self.val),
            *("--output", output, "--batch-size", 8),
            *(word for change in self._inputs(row, self.val) for word in ("--set", change)),
        )

    def _inputs(self, row: Row, queries: Path) -> tuple[str, ...]:
        """What a row is given to see and read, as changes of its recipe. A run whose texts lie
        beside its clips names no file of texts, so that it answers other queries as it is."""
        features, texts = self._features_of(row), self._texts_of(row, queries)
        named = "null" if texts == query_file(features, queries) else texts
        return f"data.features={features}", f"data.text_features={named}"

    def _features_of(self, row: Row) -> Path:
        """The folder of the clips', made of noise where the row is to see nothing."""
        if row.sees:
            return self.features
        noise = self.root / row.folder / "features"
        if not is_newer(noise / INDEX, self.features / INDEX):
            write_random_features(self.features, noise, seed=0)
        return noise

    def _texts_of(self, row: Row, queries: Path) -> Path:
        """The file of the queries', of blanks where the row is to read nothing."""
        texts = query_file(self.features, queries)
        if row.reads:
            return texts
        blank = self.root / row.folder / texts.name
        if not is_newer(blank, queries):
            write_blank_texts(blank, list(read_queries(queries).texts), self.text_width)
        return blank

    def _run_of(self, row: Row) -> Path:
        return self.root / row.folder / "queries"

    def _predictions(self, name: str) -> Path:
        return self.root / "predictions" / f"{name.replace(' ', '_').replace(',', '')}.json"

    def _draw(self, queries: Queries) -> None:
        run_python(
            *("launch/score_grounding.py", "--queries", self.val),
            *("--predictions", self._predictions(MAIN.name)),
            *("--timeline", queries.clip_uids[0], "--picture", self.picture),
        )


def _is_trained(
    directory: RunDirectory, recipe: BaseRecipe, made_from: Sequence[Path] = ()
) -> bool:
    """Whether a run has come to its end.

    Raises:
        ConfigError: it is of another recipe, or older than what it is made from.
    """
    for source in made_from if directory.pointer.is_file() else ():
        if not is_newer(directory.pointer, source):
            raise ConfigError(f"{directory.path}: is older than {source}: remove it, to train anew")
    directory.check_same_run(recipe)
    launches, tag = directory.launches(), directory.newest_tag()
    return bool(launches and tag and step_of(tag) == launches[-1]["total_steps"])


def _training(recipe: str, run: Path, *changes: str) -> list[object]:
    """Arguments of a command that trains, or goes on."""
    arguments = ["--recipe", recipe, "--deepspeed_config", DEEPSPEED_CONFIG]
    arguments += ["--output-dir", run, "--resume", "auto"]
    return [*arguments, *(word for change in changes for word in ("--set", change))]
