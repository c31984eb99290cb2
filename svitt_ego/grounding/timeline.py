"""A picture of one clip: for each query the truth and, below it, the predictions in their order."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from svitt_ego.grounding.queries import Query
from svitt_ego.grounding.score import Windows
from svitt_ego.profiling.plots import STYLE

TRUTH, PREDICTION = "#2f9183", "#e8833a"
_ROW = 0.12
"""Height of a bar, where a query has 1."""
_SHADES = (1.0, 0.65, 0.45, 0.32, 0.22)
"""Opacity of the predictions, best first; further ones are not drawn."""


@matplotlib.rc_context(STYLE)
def timeline(queries: Sequence[Query], predictions: Mapping[str, Windows]) -> Figure:
    """
    Args:
        queries: of one clip.
        predictions: by the query's id, best first; the best is drawn darkest.
    """
    assert len({query.clip_uid for query in queries}) == 1
    duration_s = queries[0].clip_duration_s
    figure = Figure(figsize=(9, 1.1 + 1.1 * len(queries)), layout="constrained")
    axes = figure.subplots()
    for row, query in enumerate(queries):
        top = row + 0.09
        axes.axhspan(row + 0.04, row + 0.96, color="#f2f3f5", zorder=0)
        if query.window_s is not None:
            _bar(axes, query.window_s, top, duration_s, color=TRUTH)
        for place, window in enumerate(predictions.get(query.id, ())[: len(_SHADES)]):
            below = top + (place + 1) * 1.15 * _ROW
            _bar(axes, window, below, duration_s, PREDICTION, _SHADES[place])
    axes.set(xlim=(0, duration_s), ylim=(len(queries), 0), xlabel="seconds of the clip")
    axes.set_title(f"clip {queries[0].clip_uid}", loc="left")
    axes.set_yticks([row + 0.5 for row in range(len(queries))])
    axes.set_yticklabels([textwrap.fill(query.text, 32) for query in queries])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    legend = [
        Patch(color=TRUTH, label="truth"),
        Patch(color=PREDICTION, label="predictions 1 to 5"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2)
    return figure


def _bar(
    axes: matplotlib.axes.Axes,
    window: tuple[float, float],
    top: float,
    duration_s: float,
    color: str,
    alpha: float = 1.0,
) -> None:
    start_s, end_s = window
    width_s = max(end_s - start_s, duration_s / 400)  # a short one can still be seen
    axes.broken_barh([(start_s, width_s)], (top, _ROW), facecolors=color, alpha=alpha, linewidth=0)
