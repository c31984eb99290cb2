"""The submission file of Ego4D's NLQ challenge."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.durable_files import write_atomically
from svitt_ego.grounding.queries import Query
from svitt_ego.grounding.score import Windows

VERSION, CHALLENGE = "1.0", "ego4d_nlq_challenge"


class PredictionsError(ConfigError):
    """A prediction file cannot be used; names file, result and key."""


def write_predictions(
    path: Path, queries: Sequence[Query], predictions: Mapping[str, Windows]
) -> None:
    """One result for each query, in their order; times keep all their digits, so that the file
    scores to the same figures as the predictions.

    Args:
        predictions: by the query's id; a query without any gets an empty list.
    """
    results = [
        {
            "clip_uid": query.clip_uid,
            "annotation_uid": query.annotation_uid,
            "query_idx": query.index,
            "predicted_times": [[float(s), float(e)] for s, e in predictions.get(query.id, ())],
        }
        for query in queries
    ]
    tree = {"version": VERSION, "challenge": CHALLENGE, "results": results}
    write_atomically(path, json.dumps(tree, allow_nan=False) + "\n")


def read_predictions(path: str | Path) -> dict[str, list[tuple[float, float]]]:
    """By the query's id, best first.

    Raises:
        PredictionsError: not such a file, or two results for a query.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PredictionsError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise PredictionsError(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, dict) or tree.get("challenge") != CHALLENGE:
        raise PredictionsError(f"{path}: challenge must be {CHALLENGE!r}")
    if tree.get("version") != VERSION:
        raise PredictionsError(f"{path}: version = {tree.get('version')!r}: must be {VERSION!r}")
    if not isinstance(tree.get("results"), list):
        raise PredictionsError(f"{path}: results must be a list")
    predictions: dict[str, list[tuple[float, float]]] = {}
    for place, node in enumerate(tree["results"]):
        try:
            query_id = f"{_get(node, 'annotation_uid', str)}_{_get(node, 'query_idx', int)}"
            windows = [_window(pair) for pair in _get(node, "predicted_times", list)]
            if query_id in predictions:
                raise ValueError(f"query {query_id} stands twice")
        except ValueError as error:
            raise PredictionsError(f"{path}, result {place}: {error}") from None
        predictions[query_id] = windows
    return predictions


def _window(pair: Any) -> tuple[float, float]:
    is_pair = isinstance(pair, list) and len(pair) == 2
    if is_pair and all(
        isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) <= sys.float_info.max
        for x in pair
    ):
        return float(pair[0]), float(pair[1])
    raise ValueError(f"predicted_times holds {pair!r:.60}: must be [start, end] in seconds")


def _get(node: Any, key: str, kind: type) -> Any:
    if not isinstance(node, dict) or key not in node:
        raise ValueError(f"{key} is missing")
    if not isinstance(node[key], kind) or isinstance(node[key], bool):
        raise ValueError(f"{key} = {node[key]!r}: must be {kind.__name__}")
    return node[key]
