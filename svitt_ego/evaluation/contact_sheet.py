"""Found moments as one picture: a row for each, its frames in columns."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.frame_sampling import frame_times
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.errors import VideoError
from svitt_ego.evaluation.evaluated_run import EvaluatedRun
from svitt_ego.evaluation.feature_files import FeatureIndex
from svitt_ego.evaluation.search import Moment, as_narration, find_moments
from svitt_ego.profiling.plots import STYLE, save_png

FRAMES = 4


@matplotlib.rc_context(STYLE)
def contact_sheet(query: str, moments: Sequence[Moment], files: VideoFiles) -> Figure:
    """An unreadable moment has its cause in place of frames."""
    figure = Figure(figsize=(1.6 + 1.7 * FRAMES, 0.5 + 1.45 * len(moments)), layout="constrained")
    figure.suptitle(query, wrap=True)
    panels = figure.subplots(len(moments), FRAMES, squeeze=False)
    for row, moment in zip(panels, moments, strict=True):
        for axes in row:
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
        label = (
            f"{moment.score:.3f}\n{_short(moment.video_uid)}\n"
            f"{moment.start_s:.1f} to {moment.end_s:.1f} s"
        )
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        times_s = frame_times(moment.start_s, moment.end_s, FRAMES, rng=None)
        try:
            frames = read_clip(files, moment.video_uid, times_s)
        except VideoError as error:
            row[0].text(0.5, 0.5, f"unreadable: {error.cause}", ha="center", fontsize=9)
            continue
        for axes, frame in zip(row, frames, strict=True):
            axes.imshow(frame.permute(1, 2, 0).numpy())
    return figure


def _short(uid: str) -> str:
    return uid if len(uid) <= 14 else f"{uid[:12]}…"


def search_and_draw(query: str, folder: Path, run: EvaluatedRun, most: int, picture: Path) -> str:
    """A line for each moment found in a folder of features, and the path of the contact sheet.

    Raises:
        ConfigError: as `find_moments`.
    """
    sentence = as_narration(query, run.recipe.data.clean_narrations)
    moments = find_moments(folder, sentence, run, most)
    save_png(contact_sheet(sentence, moments, FeatureIndex.read(folder).videos), picture)
    lines = [
        f"{moment.score:7.3f}  {moment.video_uid}  {moment.start_s:8.1f} to {moment.end_s:.1f} s"
        for moment in moments
    ]
    return "\n".join([sentence, *lines, str(picture)])
