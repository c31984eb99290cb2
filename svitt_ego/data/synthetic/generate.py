"""Generate EgoSynth: videos in parallel, then annotations, taxonomy, tokenizer and manifest."""

import json
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

from svitt_ego.config import ConfigError
from svitt_ego.data.synthetic.dataset_folder import complete, usable_workers
from svitt_ego.data.synthetic.narrations import Row, egoclip_rows, to_tsv
from svitt_ego.data.synthetic.questions import held_out_clips, write_questions
from svitt_ego.data.synthetic.script import Script, video_uid, write_script
from svitt_ego.data.synthetic.sizes import SIZES, Size
from svitt_ego.data.synthetic.tokenizer import train_tokenizer
from svitt_ego.data.synthetic.video import make_video
from svitt_ego.data.synthetic.vocabulary import taxonomy
from svitt_ego.durable_files import write_atomically

# Raise when the same seed gives other files than before.
GENERATOR_VERSION = 2


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
    workers = usable_workers(workers, seed)
    folder = Path(output)
    numbers = SIZES[size]
    request = {
        "dataset": "EgoSynth",
        "generator_version": GENERATOR_VERSION,
        "size": size,
        "seed": seed,
        "parameters": asdict(numbers),
    }
    complete(
        folder,
        request,
        [
            video_uid(seed, index, numbers.video_s, numbers.fps)
            for index in range(numbers.train_videos + numbers.test_videos)
        ],
        partial(make_video, folder, numbers, seed),
        lambda: _write_annotations(folder, numbers, seed),
        workers,
        progress,
    )
    return folder


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
