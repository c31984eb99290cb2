"""The pictures of a report. Each function draws one figure; text is as large as a phone needs.

Draws on matplotlib's `Figure` directly, so neither a display nor global state is touched.
"""

import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from svitt_ego.profiling.growth import fitted_exponent
from svitt_ego.profiling.run_summary import TrainedRun
from svitt_ego.profiling.units import show_bytes, unit_for

COLORS = {
    "parameters": "#3d6fb4",
    "gradients": "#5fb0a4",
    "communication": "#2f7d78",
    "optimizer_states": "#8fb4e3",
    "buffers": "#a89cc8",
    "inputs": "#e3c04f",
    "activations": "#e8833a",
    "temporaries": "#c9503f",
    "other": "#9a9a9a",
    "unattributed": "#9a9a9a",
}
LINES = ("#3d6fb4", "#e8833a", "#2f9183", "#a45fb0")
DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = "osD^"
"""Besides colour, so that lines on top of each other can be told apart."""
SMALLEST_SHARE = 0.003
"""Categories below this share of every total have no width to speak of, so no legend either."""
INK, GRID = "#1b1f24", "#8a8f98"
"""INK is replaced by the page's own text colour where a figure is put inline."""
HOVER = "hover:"
"""Begins the id of what has something to tell."""
WIDTH_IN = 4.8
STYLE = {
    "font.size": 12,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
}


def _figure(height_in: float) -> Figure:
    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


@matplotlib.rc_context(STYLE)
def peaks_by_category(results: Sequence[dict[str, Any]]) -> Figure:
    """One stacked bar per variant, its total and its share of the first one's beside it."""
    lines = sum(1 + _fitting(result["title"]).count("\n") for result in results)
    figure = _figure(1.7 + 0.5 * len(results) + 0.22 * lines)
    axes = figure.subplots()
    totals = [result["peak_bytes"] for result in results]
    unit, size = unit_for(max(totals))
    rows = np.arange(len(results))[::-1]
    left = np.zeros(len(results))
    names = _visible([result["peak_bytes_by_category"] for result in results])
    for name in _occurring([result["peak_bytes_by_category"] for result in results]):
        widths = np.array([r["peak_bytes_by_category"].get(name, 0) / size for r in results])
        bars = axes.barh(rows, widths, left=left, height=0.42, color=COLORS[name])
        for bar, result in zip(bars, results, strict=True):
            size_bytes = result["peak_bytes_by_category"].get(name, 0)
            _say_on_hover(bar, f"{result['title']}: {_words(name)} {show_bytes(size_bytes)}")
        left += widths
    for row, result, total in zip(rows, results, totals, strict=True):
        title = _fitting(result["title"])
        axes.text(0, row + 0.27, title, va="bottom", fontweight="bold", linespacing=0.95)
        share = "" if result is results[0] else f" · {total / totals[0]:.0%}"
        axes.annotate(
            show_bytes(total) + share,
            (total / size, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set(xlim=(0, 1.6 * max(totals) / size), ylim=(-0.45, len(results) - 0.35), yticks=[])
    axes.set_xlabel(f"peak of live tensors, {unit}")
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    _legend_below(figure, names)
    return figure


LETTERS = 34
"""Of a title that are as wide as a figure allows."""


def _fitting(title: str) -> str:
    """In lines that a figure has room for."""
    return "\n".join(textwrap.wrap(title, LETTERS))


LEAST_NAMED_SHARE = 0.18
"""Of the plot's width: a narrower phase has no room for its name."""


@matplotlib.rc_context(STYLE)
def timelines(results: Sequence[dict[str, Any]]) -> Figure:
    """Live bytes by category inside one step, variants under one another on the same scales."""
    figure = _figure(1.2 + 1.75 * len(results))
    panels = figure.subplots(len(results), sharex=True, sharey=True, squeeze=False)[:, 0]
    unit, size = unit_for(max(result["peak_bytes"] for result in results))
    names = _visible([result["peak_bytes_by_category"] for result in results], ["gradients"])
    everything = _occurring([result["timeline"]["live_bytes"] for result in results])
    longest_s = max(result["timeline"]["seconds"][-1] for result in results)
    for axes, result in zip(panels, results, strict=True):
        timeline = result["timeline"]
        seconds = np.array(timeline["seconds"])
        live = timeline["live_bytes"]
        stack = [np.array(live.get(name, 0 * seconds)) / size for name in everything]
        areas = axes.stackplot(seconds, stack, colors=[COLORS[name] for name in everything], lw=0)
        for area, name in zip(areas, everything, strict=True):
            most = show_bytes(max(live.get(name, [0])))
            _say_on_hover(area, f"{result['title']}: {_words(name)}, at most {most}")
        _mark_phases(axes, timeline["phases"], longest_s)
        title = _fitting(result["title"])
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=18)
        axes.set_ylabel(unit)
        axes.grid(axis="y")
    panels[-1].set_xlabel("processor seconds since the step began")
    panels[-1].set_xlim(left=0)
    panels[-1].set_ylim(bottom=0)
    _legend_below(figure, names)
    return figure


def _mark_phases(axes: Axes, phases: Sequence[tuple[str, float, float]], longest_s: float) -> None:
    """A line at each phase's end, its name where there is room for it."""
    for name, start_s, end_s in phases:
        axes.axvline(end_s, color=GRID, lw=0.8, ls=":")
        if end_s - start_s > LEAST_NAMED_SHARE * longest_s:
            above = axes.get_xaxis_transform()
            middle = (start_s + end_s) / 2
            axes.text(middle, 1.02, name, transform=above, ha="center", va="bottom", fontsize=10.5)


@matplotlib.rc_context(STYLE)
def growth_with_frames(results: Sequence[dict[str, Any]]) -> Figure:
    """Peak against frames, one line per variant."""
    names = list(dict.fromkeys(result["name"] for result in results))
    figure = _figure(2.9 + 0.3 * len(names))
    axes = figure.subplots()
    unit, size = unit_for(max(result["peak_bytes"] for result in results))
    for number, name in enumerate(names):
        own = sorted((r for r in results if r["name"] == name), key=lambda r: r["frames"])
        frames = [r["frames"] for r in own]
        peaks = [r["peak_bytes"] / size for r in own]
        style = {"color": LINES[number % 4], "ls": DASHES[number % 4]}
        style["marker"] = MARKERS[number // 4 % len(MARKERS)]
        exponent = fitted_exponent(frames, [r["peak_bytes"] for r in own])
        label = f"{_fitting(own[0]['title'])}: frames^{exponent:.2f}"
        (line,) = axes.plot(frames, peaks, **style, lw=1.8, ms=5, label=label)
        at = ", ".join(f"{r['frames']} frames {show_bytes(r['peak_bytes'])}" for r in own)
        _say_on_hover(line, f"{own[0]['title']}: {at}")
    axes.set_xticks(sorted({result["frames"] for result in results}))
    axes.set(xlabel="frames of a clip", ylabel=f"peak of live tensors, {unit}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=1, fontsize=11)
    return figure


@matplotlib.rc_context(STYLE)
def loss_curves(run: TrainedRun) -> Figure | None:
    """Total and parts over the steps."""
    parts = {
        "loss": "total",
        "loss_contrastive": "contrastive",
        "loss_vtm": "video-text matching",
        "loss_mlm": "masked language",
    }
    series = [(label, *run.series(key)) for key, label in parts.items()]
    return _curves([entry for entry in series if entry[1]], "loss")


@matplotlib.rc_context(STYLE)
def learning_rate(run: TrainedRun) -> Figure | None:
    steps, rates = run.series("learning_rate")
    return _curves([("", steps, rates)] if steps else [], "learning rate", smooth=False)


@matplotlib.rc_context(STYLE)
def throughput(run: TrainedRun) -> Figure | None:
    steps, speeds = run.series("samples_per_s")
    return _curves([("", steps, speeds)] if steps else [], "samples per second", smooth=False)


@matplotlib.rc_context(STYLE)
def peaks_over_steps(run: TrainedRun) -> Figure | None:
    """The peak of each step that was tracked, by category where known."""
    records = [r for r in run.records if r.get("peak_bytes") is not None and "step" in r]
    if not records:
        return None
    figure = _figure(3.3)
    axes = figure.subplots()
    unit, size = unit_for(max(record["peak_bytes"] for record in records))
    steps = [record["step"] for record in records]
    splits = [record.get("peak_bytes_by_category") or {} for record in records]
    everything = _occurring(splits)
    if everything:
        stack = [[split.get(name, 0) / size for split in splits] for name in everything]
        axes.stackplot(steps, stack, colors=[COLORS[name] for name in everything], lw=0)
    axes.plot(steps, [record["peak_bytes"] / size for record in records], color=INK, lw=1.2)
    axes.set(xlabel="step", ylabel=f"peak in the step, {unit}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    _legend_below(figure, _visible(splits))
    return figure


def _curves(
    series: Sequence[tuple[str, list[float], list[float]]], label: str, smooth: bool = True
) -> Figure | None:
    """The values as they are, thin, and where there are many their running mean on top."""
    if not series:
        return None
    figure = _figure(3.1)
    axes = figure.subplots()
    for (name, steps, values), color in zip(series, LINES, strict=False):
        window = len(values) // 20 if smooth else 0
        if window > 1:
            axes.plot(steps, values, color=color, lw=0.7, alpha=0.35)
            values = _running_mean(values, window)
        axes.plot(steps, values, color=color, lw=1.8, label=name or None)
    axes.set(xlabel="step", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=2, fontsize=11)
    return figure


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean of the last `window` values, of fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return ((sums[ends] - sums[starts]) / (ends - starts)).tolist()


def _occurring(splits: Sequence[dict[str, Any]]) -> list[str]:
    return [name for name in COLORS if any(name in split for split in splits)]


def _visible(splits: Sequence[dict[str, int]], always: Sequence[str] = ()) -> list[str]:
    """Categories with a visible share of some total, and those of `always`."""
    visible = {
        name
        for split in splits
        for name, size in split.items()
        if size > SMALLEST_SHARE * sum(split.values())
    }
    return [name for name in COLORS if name in visible or name in always]


def _legend_below(figure: Figure, names: Sequence[str]) -> None:
    patches = [Patch(color=COLORS[name], label=name.replace("_", " ")) for name in names]
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=3,
        fontsize=11,
        handlelength=1,
        columnspacing=1,
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _say_on_hover(artist: Artist, text: str) -> None:
    """On a page, what the mouse on it tells; `inline_svg` makes an SVG title of it."""
    artist.set_gid(HOVER + text)


def save_png(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=160, facecolor="white")


def inline_svg(figure: Figure, name: str) -> str:
    """An <svg> element for a page: transparent, text in the page's colour, nothing fetched."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(rf'<g id="{HOVER}([^"]*)">', r"<g><title>\1</title>", svg)
    # Without a size of its own it fills its place on the page; the viewBox keeps its shape.
    return re.sub(r'(?<=<svg)( (?:width|height)="[^"]*")+', "", svg, count=1)
