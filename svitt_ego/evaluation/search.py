"""Finding moments of indexed videos by a sentence."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from svitt_ego.config import ConfigError
from svitt_ego.data.text import encode_texts
from svitt_ego.evaluation.evaluated_run import EvaluatedRun
from svitt_ego.evaluation.feature_files import FeatureIndex, read_features
from svitt_ego.evaluation.windows import Windowing

WEARER = "#C C "
"""How EgoClip's narrations begin; a model that was trained on them as they are expects it."""


@dataclass(frozen=True)
class Moment:
    """Times in seconds of the source video; score: cosine with the query."""

    video_uid: str
    start_s: float
    end_s: float
    score: float


def as_narration(query: str, clean_narrations: bool) -> str:
    """The query in the form of the narrations that the model knows."""
    return query if clean_narrations or query.startswith("#") else WEARER + query


@torch.inference_mode()
def find_moments(folder: Path, query: str, run: EvaluatedRun, most: int) -> list[Moment]:
    """The windows of a folder of features that are most like the query, best first; of windows of
    one clip that overlap in time only the best.

    Raises:
        ConfigError: no features, damaged ones, or those of another model.
    """
    index = FeatureIndex.read(folder)
    if index.weights_sha256 != run.weights_sha256:
        raise ConfigError(f"{folder}: was made with other weights than the run's: index again")
    if index.width != run.model.recipe.projection_width:
        raise ConfigError(
            f"{folder}: width = {index.width}: not what texts are compared with: index again"
        )
    device = next(run.model.parameters()).device
    ids, mask = encode_texts(run.tokenizer, [query], run.recipe.data.max_text_tokens)
    text = run.model.project_text(run.model.encode_text(ids.to(device), mask.to(device)).pooled)[0]
    windowing = Windowing(index.window_frames, index.stride_frames, index.fps)
    moments = []
    for clip in index.clips.values():
        features = torch.from_numpy(read_features(folder / clip.file)).to(text)
        if features.shape != (clip.windows, index.width):
            raise ConfigError(f"{folder / clip.file}: is not what the index says: index again")
        scores = (features @ text).float().cpu().numpy()
        for window in best_apart(scores, windowing, most):
            start_s, end_s = windowing.span_s(window, clip.duration_s)
            moments.append(
                Moment(
                    clip.video_uid,
                    clip.start_s + start_s,
                    clip.start_s + end_s,
                    float(scores[window]),
                )
            )
    return sorted(moments, key=lambda moment: -moment.score)[:most]


def best_apart(scores: NDArray[np.floating], windowing: Windowing, most: int) -> list[int]:
    """The highest of (windows,) scores whose windows share no frame, best first."""
    apart = -(-windowing.window_frames // windowing.stride_frames)
    left = scores.astype(np.float64)
    chosen: list[int] = []
    while len(chosen) < most and not np.isneginf(left).all():
        best = int(left.argmax())
        chosen.append(best)
        left[max(0, best - apart + 1) : best + apart] = -np.inf
    return chosen
