"""A clip and what the model keeps of it, as a picture and as the frames of an animation."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from svitt_ego.evaluation.animation import save_gif, save_mp4
from svitt_ego.evaluation.token_trace import Stage, TokenTrace
from svitt_ego.models import SViTTEgo
from svitt_ego.models.token_drop import token_counts
from svitt_ego.models.video_encoder import EVALUATION_STEP
from svitt_ego.profiling.pattern_picture import pattern_picture
from svitt_ego.profiling.plots import STYLE, save_png

MOST_COLUMNS = 8
DROPPED_WHITE = 0.85
"""How much of a dropped patch is white."""
ANIMATION_FPS = 2


@matplotlib.rc_context(STYLE)
def token_picture(trace: TokenTrace) -> Figure:
    """A row for the frames and each stage, a column for each frame."""
    columns = _spread(len(trace.frames))
    rows = 1 + len(trace.stages)
    figure = Figure(figsize=(1.0 + 1.6 * len(columns), 1.72 * rows), layout="constrained")
    panels = figure.subplots(rows, len(columns), squeeze=False)
    figure.suptitle(trace.text, wrap=True)
    for column, frame in enumerate(columns):
        for row, picture in enumerate(_pictures(trace, frame)):
            _show(panels[row, column], picture)
        panels[0, column].set_title(f"frame {frame + 1}", fontsize=9)
    for row, title in enumerate(("frames", *(stage.title for stage in trace.stages))):
        panels[row, 0].set_ylabel(_in_two_lines(title), fontsize=9)
    return figure


@matplotlib.rc_context(STYLE)
def animation_frames(trace: TokenTrace) -> list[NDArray[np.uint8]]:
    """A picture (height, width, 3) for each frame, all stages side by side; even sizes, as video
    codecs want them."""
    columns = 1 + len(trace.stages)
    figure = Figure(figsize=(1.75 * columns, 2.3), layout="constrained", dpi=90)
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    figure.suptitle(trace.text, wrap=True)
    for axes, title in zip(panels, ("frames", *(s.title for s in trace.stages)), strict=True):
        axes.set_title(_in_two_lines(title), fontsize=9)
    shown = [
        _show(axes, picture) for axes, picture in zip(panels, _pictures(trace, 0), strict=True)
    ]
    frames = []
    for frame in range(len(trace.frames)):
        for image, picture in zip(shown, _pictures(trace, frame), strict=True):
            image.set_data(picture)
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba())[..., :3]
        height, width = (size // 2 * 2 for size in drawn.shape[:2])
        frames.append(drawn[:height, :width].copy())
    return frames


def save_token_pictures(model: SViTTEgo, trace: TokenTrace, folder: Path) -> list[Path]:
    """tokens.png, tokens.gif, tokens.mp4 and, where attention is sparse, patterns.png."""
    paths = [folder / f"tokens.{ending}" for ending in ("png", "gif", "mp4")]
    save_png(token_picture(trace), paths[0])
    frames = animation_frames(trace)
    save_gif(frames, paths[1], ANIMATION_FPS)
    save_mp4(frames, paths[2], ANIMATION_FPS)
    video, frames = model.recipe.video, len(trace.frames)
    (folder / "patterns.png").unlink(missing_ok=True)  # of an earlier call
    if video.edge_sparsity is not None:
        paths.append(folder / "patterns.png")
        counts = token_counts(video.node_sparsity, video.layers, frames * video.patches_per_frame)
        patterns = model.video.patterns(frames, 0, EVALUATION_STEP)
        block_size = video.edge_sparsity.block_size
        save_png(pattern_picture(patterns, counts[:-1], block_size), paths[-1])
    return paths


def stage_picture(image: NDArray[np.uint8], stage: Stage, frame: int) -> NDArray[np.float64]:
    """One frame (H, W, 3) at a stage, in [0, 1]: dropped patches pale; where there is attention,
    every patch pale but for its share of the clip's highest."""
    patch = image.shape[0] // stage.kept.shape[1]
    if stage.attention is None:
        share = stage.kept[frame].double().numpy()
    else:
        share = (stage.attention[frame] / stage.attention.max().clamp(min=1e-12)).double().numpy()
    share = np.kron(share, np.ones((patch, patch)))[..., None]
    white = DROPPED_WHITE * (1 - share)
    return image / 255 * (1 - white) + white


def _in_two_lines(title: str) -> str:
    """What it is of, then what happens."""
    return title.replace(" keeps ", "\nkeeps ").replace(" attends", "\nattends")


def _pictures(trace: TokenTrace, frame: int) -> list[NDArray]:
    image = trace.frames[frame].permute(1, 2, 0).cpu().numpy()
    return [image / 255, *(stage_picture(image, stage, frame) for stage in trace.stages)]


def _show(axes: Axes, picture: NDArray) -> matplotlib.image.AxesImage:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes.imshow(picture)


def _spread(frames: int) -> Sequence[int]:
    """At most `MOST_COLUMNS` frames, evenly spread, the first and the last among them."""
    count = min(frames, MOST_COLUMNS)
    return np.unique(np.linspace(0, frames - 1, count).round().astype(int)).tolist()
