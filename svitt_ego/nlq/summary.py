"""What all rows of `make nlq` have answered, from their prediction files."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from svitt_ego.grounding.prediction_file import read_predictions
from svitt_ego.grounding.queries import Queries
from svitt_ego.grounding.score import score
from svitt_ego.nlq.rows import CENTRE, FLOORS, MAIN, ROWS


def summarise(queries: Queries, file_of: Callable[[str], Path]) -> dict[str, Any]:
    """Every figure as the challenge would score it.

    Args:
        file_of: a row's predictions, by its name.
    """
    names = [*(row.name for row in ROWS), CENTRE]
    return {
        "rows": {
            name: asdict(score(queries.usable, read_predictions(file_of(name)))) for name in names
        },
        "floors": list(FLOORS),
        "queries": len(queries.usable),
        "null_queries": queries.null,
        "empty_windows": queries.empty_windows,
        "clips": len(queries.clip_uids),
        "by_template": _by_template(queries, file_of(MAIN.name)),
    }


def _by_template(queries: Queries, predictions_file: Path) -> dict[str, dict[str, float]]:
    """Of one row, for each kind of question: how many, and R@k."""
    templates: dict[str, str] = {}
    for video in json.loads(Path(queries.path).read_text())["videos"]:
        for clip in video["clips"]:
            for annotation in clip["annotations"]:
                for index, query in enumerate(annotation["language_queries"]):
                    templates[f"{annotation['annotation_uid']}_{index}"] = query["template"]
    predictions = read_predictions(predictions_file)
    found = {}
    for template in sorted(set(templates.values())):
        own = [query for query in queries.usable if templates[query.id] == template]
        result = score(own, {query.id: predictions[query.id] for query in own})
        found[template] = {"queries": len(own), **result.recalls}
    return found


def table(summary: dict[str, Any]) -> str:
    """The rows for people."""
    rows = summary["rows"]
    names = list(next(iter(rows.values()))["recalls"])
    width = max(map(len, rows))
    lines = [f"{'':<{width}}  " + "  ".join(names)]
    for name, row in rows.items():
        figures = (f"{row['recalls'][key]:>{len(key)}.2f}" for key in names)
        lines.append(f"{name:<{width}}  " + "  ".join(figures))
    lines.append(f"{summary['queries']} queries about {summary['clips']} clips")
    lines.append(f"seconds, of all calls that came to their end: {summary['wall_s']}")
    lines.append(f"timeline: {summary['timeline']}")
    return "\n".join(lines)
