"""Generate EgoSynth: videos in parallel, then annotations, taxonomy, tokenizer and manifest.

The manifest is written last: a folder with a matching one is complete and reused at once; one that
was interrupted is continued video by video.
"""

import json
import shutil
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

from tqdm import tqdm

from svitt_ego.config import ConfigError
from svitt_ego.data.synthetic.narrations import Row, egoclip_rows, to_tsv
from svitt_ego.data.synthetic.questions import held_out_clips, write_questions
from svitt_ego.data.synthetic.script import Script, video_uid, write_script
from svitt_ego.data.synthetic.sizes import SIZES, Size
from svitt_ego.data.synthetic.tokenizer import train_tokenizer
from svitt_ego.data.synthetic.video import make_video
from svitt_ego.data.synthetic.vocabulary import taxonomy
from svitt_ego.data.worker_pool import run_jobs, usable_cpus
from svitt_ego.durable_files import locked, write_atomically

# Raise when the same seed gives other files than before.
GENERATOR_VERSION = 2
_MANIFEST = "manifest.json"
_STARTED = "manifest.partial.json"


def generate(
    output: str | Path,
    size: str,
    seed: int = 0,
    workers: int | None = None,
    *,
    progress: bool = True,
) -> Path:
    """Make sure `output` holds the dataset of this size and seed; return the folder.

    The same size and seed give the same files (videos: the same decoded frames) for any number of
    `workers` (default: the usable CPU cores). Processes that ask for one folder at the same time
    wait for each other. Raises ConfigError for an unknown size, a negative seed, fewer than one
    worker, and a folder that cannot be made or holds anything else.
    """
    if size not in SIZES:
        raise ConfigError(f"unknown EgoSynth size {size!r}: choose one of {', '.join(SIZES)}")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    workers = usable_cpus() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from None
    request = {
        "dataset": "EgoSynth",
        "generator_version": GENERATOR_VERSION,
        "size": size,
        "seed": seed,
        "parameters": asdict(SIZES[size]),
    }
    with locked(folder):
        _check_reusable(folder, request)
        missing = _missing_videos(folder, SIZES[size], seed)
        if missing or not (folder / _MANIFEST).exists():
            write_atomically(folder / _STARTED, json.dumps(request, indent=2))
            (folder / _MANIFEST).unlink(missing_ok=True)
            for unfinished in (folder / "videos").glob(".*.partial"):
                shutil.rmtree(unfinished)
            _make_videos(folder, SIZES[size], seed, missing, workers, progress)
            counts = _write_annotations(folder, SIZES[size], seed)
            write_atomically(folder / _MANIFEST, json.dumps(request | {"counts": counts}, indent=2))
            (folder / _STARTED).unlink()
    return folder


def _check_reusable(folder: Path, request: dict[str, object]) -> None:
    """Raise ConfigError if the folder holds something other than (part of) the wanted dataset."""
    names = [name for name in (_MANIFEST, _STARTED) if (folder / name).exists()]
    if not names:
        if any(folder.iterdir()):
            raise ConfigError(
                f"{folder} is not empty and holds no EgoSynth dataset: "
                "choose another output folder or empty this one"
            )
        return
    path = folder / names[0]
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON ({error}): delete {folder}") from error
    for key, wanted in request.items():
        if found.get(key) != wanted:
            raise ConfigError(
                f"{folder} holds an EgoSynth dataset with {key} {found.get(key)!r}, wanted "
                f"{wanted!r}: choose another output folder or delete this one"
            )


def _missing_videos(folder: Path, size: Size, seed: int) -> list[int]:
    """Indices without a finished folder; training videos come first, then the held-out ones."""
    return [
        index
        for index in range(size.train_videos + size.test_videos)
        if not (folder / "videos" / video_uid(seed, index, size.video_s, size.fps)).is_dir()
    ]


def _make_videos(
    folder: Path, size: Size, seed: int, indices: list[int], workers: int, progress: bool
) -> None:
    (folder / "videos").mkdir(exist_ok=True)
    with tqdm(total=len(indices), desc="EgoSynth", unit="video", disable=not progress) as bar:
        for _ in run_jobs(partial(make_video, folder, size, seed), indices, workers):
            bar.update()


def _write_annotations(folder: Path, size: Size, seed: int) -> dict[str, int]:
    train: list[Row] = []
    held_out: list[tuple[Script, list[Row]]] = []
    clip_indices = count()
    for index in range(size.train_videos + size.test_videos):
        script = write_script(seed, index, size.video_s, size.fps)
        is_train = index < size.train_videos
        rows = egoclip_rows(script, seed, index, allow_unsure=is_train)
        for row in rows:
            row["clip_idx"] = next(clip_indices)
        if is_train:
            train += rows
        else:
            held_out.append((script, rows))
    questions = write_questions(
        [held_out_clips(script, rows) for script, rows in held_out], size.questions_per_type, seed
    )
    write_atomically(folder / "egoclip.csv", to_tsv(train))
    write_atomically(folder / "egomcq.json", json.dumps(questions, indent=1))
    write_atomically(folder / "taxonomy.json", json.dumps(taxonomy(), indent=1))
    train_tokenizer([str(row["clip_text"]) for row in train], folder / "tokenizer")
    return {
        "train_videos": size.train_videos,
        "test_videos": size.test_videos,
        "train_clips": len(train),
        "questions": len(questions),
    }
