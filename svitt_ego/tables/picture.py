"""Accuracies with their intervals, a panel for each kind of question."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure

from svitt_ego.profiling.plots import GRID, LINES, STYLE

if TYPE_CHECKING:
    from svitt_ego.tables.report import Line

CHANCE = 20.0


@matplotlib.rc_context(STYLE)
def accuracy_picture(lines: Sequence["Line"], shortcuts: Sequence["Line"]) -> Figure:
    """A point for each row with its value and 95% interval, and chance; shortcuts below the
    others."""
    shown = [(line, LINES[0]) for line in lines] + [(line, LINES[1]) for line in shortcuts]
    figure = Figure(figsize=(9.0, 1.2 + 0.32 * len(shown)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, width_ratios=(1, 2))  # intra tells rows apart
    for axes, kind in zip(panels, ("inter", "intra"), strict=True):
        for place, (line, colour) in enumerate(shown):
            value = getattr(line, kind)
            off = [[value.mean - value.low], [value.high - value.mean]]
            axes.errorbar(
                value.mean, place, xerr=off, fmt="o", color=colour, markersize=3, elinewidth=1.5
            )
            left = value.mean > 85
            end, side = (value.low - 3, "right") if left else (value.high + 3, "left")
            axes.text(end, place, f"{value.mean:.1f}", ha=side, va="center", fontsize="x-small")
        axes.axvline(CHANCE, color=GRID, linestyle="--", linewidth=1)
        axes.set_title(f"{kind}-video questions")
        axes.set_xlim(0, 103)  # the mark of 100 whole
        axes.grid(axis="x")
    panels[0].set_yticks(range(len(shown)), [line.title for line, _ in shown])
    panels[0].invert_yaxis()
    figure.supxlabel("accuracy, % (dashed: chance; orange: shortcuts)", fontsize="medium")
    return figure
