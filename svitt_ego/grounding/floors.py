"""What a score must beat to mean something: features that show nothing, queries that ask nothing,
and answers that look at neither."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from svitt_ego.durable_files import write_atomically
from svitt_ego.grounding.features import INDEX, TENSOR, ClipFeatures
from svitt_ego.grounding.queries import Query
from svitt_ego.grounding.score import Windows

_QUANTILES = (0.5, 0.25, 0.75, 0.1, 0.9)


def write_random_features(source: Path, target: Path, seed: int) -> Path:
    """A folder of features like another, with a random direction in each window.

    Raises:
        FeaturesError: `source` cannot be read.
    """
    features = ClipFeatures.open(source)
    generator = torch.Generator().manual_seed(seed)
    for clip in features.clips.values():
        noise = normalize(torch.randn(clip.windows, features.width, generator=generator), dim=-1)
        file = target / clip.file
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({TENSOR: noise}, file)
    clips = {uid: asdict(clip) for uid, clip in features.clips.items()}
    tree = {**asdict(features.grid), "width": features.width, "clips": clips}
    write_atomically(target / INDEX, json.dumps(tree, indent=1) + "\n")
    return target


def write_blank_texts(path: Path, ids: Sequence[str], width: int) -> Path:
    """Features of queries that are all the same: one token of zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({query_id: torch.zeros(1, width) for query_id in ids}, path)
    return path


def centre_prior(train: Sequence[Query], queries: Sequence[Query]) -> dict[str, Windows]:
    """Windows around the centre of each clip, as long as those of training are: the median first,
    then other quantiles."""
    lengths_s = [query.window_s[1] - query.window_s[0] for query in train if query.window_s]
    halves_s = np.quantile(lengths_s, _QUANTILES) / 2
    answers: dict[str, Windows] = {}
    for query in queries:
        middle_s, end_s = query.clip_duration_s / 2, query.clip_duration_s
        answers[query.id] = [
            (max(0.0, float(middle_s - half_s)), min(end_s, float(middle_s + half_s)))
            for half_s in halves_s
        ]
    return answers
