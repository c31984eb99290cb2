"""Generate EgoSynth-NLQ: long videos, their narrations as `egoclip.csv`, and `nlq_*.json`.

Narrations are of the training videos alone: nothing trained on them has seen those of val or test.
"""

import json
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from svitt_ego.config import ConfigError
from svitt_ego.data.synthetic.dataset_folder import complete, usable_workers
from svitt_ego.data.synthetic.narrations import Row, to_tsv
from svitt_ego.data.synthetic.nlq.annotations import nlq_file, video_entry
from svitt_ego.data.synthetic.nlq.long_video import (
    long_video_rows,
    long_video_uid,
    make_long_video,
    write_long_video,
)
from svitt_ego.data.synthetic.nlq.questions import ask
from svitt_ego.data.synthetic.nlq.sizes import NLQ_SIZES, NlqSize
from svitt_ego.data.synthetic.tokenizer import train_tokenizer
from svitt_ego.data.synthetic.vocabulary import taxonomy
from svitt_ego.durable_files import write_atomically

# Raise when the same seed gives other files than before.
NLQ_GENERATOR_VERSION = 1


def generate_nlq(
    output: str | Path,
    size: str,
    seed: int = 0,
    workers: int | None = None,
    *,
    progress: bool = True,
) -> Path:
    """Make sure `output` holds the dataset of this size and seed; return the folder.

    The same size and seed give the same files for any number of `workers` (default: the usable CPU
    cores). What was interrupted goes on video by video.

    Raises:
        ConfigError: an unknown size, a negative seed, fewer than one worker, or a folder that
            cannot be made or holds anything else.
    """
    if size not in NLQ_SIZES:
        raise ConfigError(
            f"unknown EgoSynth-NLQ size {size!r}: choose one of {', '.join(NLQ_SIZES)}"
        )
    folder, numbers = Path(output), NLQ_SIZES[size]
    request = {
        "dataset": "EgoSynth-NLQ",
        "generator_version": NLQ_GENERATOR_VERSION,
        "size": size,
        "seed": seed,
        "parameters": asdict(numbers),
    }
    complete(
        folder,
        request,
        [long_video_uid(seed, index, numbers) for index in range(numbers.videos)],
        partial(make_long_video, folder, numbers, seed),
        lambda: _write_annotations(folder, numbers, seed),
        usable_workers(workers, seed),
        progress,
    )
    return folder


def _write_annotations(folder: Path, size: NlqSize, seed: int) -> dict[str, int]:
    narrations: list[Row] = []
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    questions: list[str] = []
    counts = {f"{split}_queries": 0 for split in splits}
    clip_indices = count()
    for index in range(size.videos):
        video, split = write_long_video(seed, index, size), size.split_of(index)
        rng = np.random.default_rng((seed, index, 2))
        asked = ask(video, size.queries, rng)
        splits[split].append(video_entry(video, split, asked, size.fps, rng))
        counts[f"{split}_queries"] += len(asked)
        if split == "train":
            rows = long_video_rows(video, seed, index, size)
            narrations += [row | {"clip_idx": next(clip_indices)} for row in rows]
            questions += [question.text for question in asked]
    for split, videos in splits.items():
        text = json.dumps(nlq_file(split, videos), indent=1)
        write_atomically(folder / f"nlq_{split}.json", text + "\n")
    write_atomically(folder / "egoclip.csv", to_tsv(narrations))
    write_atomically(folder / "taxonomy.json", json.dumps(taxonomy(), indent=1))
    texts = [str(row["clip_text"]) for row in narrations] + questions
    train_tokenizer(texts, folder / "tokenizer")
    return counts | {"videos": size.videos, "narrations": len(narrations)}
