"""Extracting features of long clips: for each window the vector that is compared with texts.

The work is divided by clips among ranks, and what is there already is kept, so that it can be
stopped at any time.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from svitt_ego.config import ConfigError
from svitt_ego.data.long_clip import LongClip
from svitt_ego.evaluation.clip_reading import reading_of
from svitt_ego.evaluation.evaluated_run import EvaluatedRun
from svitt_ego.evaluation.feature_files import (
    FEATURES,
    FeatureIndex,
    IndexedClip,
    windows_there,
    write_features,
)
from svitt_ego.evaluation.ranks import Ranks
from svitt_ego.evaluation.windows import Windowing, read_stretches
from svitt_ego.models import SViTTEgo


@dataclass(frozen=True)
class Extraction:
    """What was done, over all ranks."""

    index: FeatureIndex
    made: int
    """Clips embedded now."""
    reused: int
    """Clips that were there already."""
    windows: int
    """Embedded now."""
    video_s: float
    """Length of the clips embedded now."""
    wall_s: float
    """Of the slowest rank, reading and writing included."""

    def summary(self) -> str:
        lines = [f"{self.made} clips embedded, {self.reused} there already"]
        if self.windows:
            lines.append(
                f"{self.windows} windows in {self.wall_s:.1f} s: "
                f"{self.windows / self.wall_s:.1f} windows/s, "
                f"{self.video_s / self.wall_s:.2f} s of video a second"
            )
        if self.index.unreadable:
            path, cause = next(iter(self.index.unreadable.items()))
            count = len(self.index.unreadable)
            lines.append(
                f"left out for want of {count} unreadable files, the first: {path}: {cause}"
            )
        return "\n".join(lines)


def index_of_folder(windowing: Windowing, run: EvaluatedRun, folder: Path) -> FeatureIndex:
    """What the folder's index says already, or one without clips.

    Raises:
        ConfigError: the folder's features were made with other settings or another model.
    """
    reading = reading_of(run.recipe)
    return FeatureIndex(
        **asdict(windowing),
        frames=reading.frames,
        width=run.model.recipe.projection_width,
        clips={},
        unreadable={},
        videos=reading.files,
        weights_sha256=run.weights_sha256,
        all_edges=run.all_edges,
    ).with_clips_of(folder)


def extract_features(
    clips: Sequence[LongClip],
    windowing: Windowing,
    run: EvaluatedRun,
    folder: Path,
    ranks: Ranks,
    unreadable: dict[str, str] | None = None,
    progress: bool = True,
) -> Extraction | None:
    """A file for each clip and, on rank 0, the index; None but on rank 0.

    A clip with an unreadable window has no file: it is named in the index, and tried again by the
    next call.

    Args:
        unreadable: files known to be, which the index is to name as well.

    Raises:
        ConfigError: files of other settings are in the folder, it cannot be written to, or no clip
            can be read.
    """
    started = time.monotonic()
    index = index_of_folder(windowing, run, folder)
    folder.mkdir(parents=True, exist_ok=True)
    identities = [_identity(clip, windowing, index) for clip in clips]
    files = [folder / f"{clip.clip_uid}.safetensors" for clip in clips]
    # one rank looks, before any writes: all must divide the same list
    pending = ranks.from_first(
        [
            place
            for place, (file, identity) in enumerate(zip(files, identities, strict=True))
            if windows_there(file, identity) is None
        ]
        if ranks.is_first
        else None
    )
    own = [pending[place] for place in ranks.share(len(pending))]
    shown = progress and ranks.is_first
    faults: dict[str, str] = {}
    windows, video_s = 0, 0.0
    for place, features in _embedded_clips(clips, own, windowing, run, faults, shown):
        write_features(files[place], {FEATURES: features.numpy()}, identities[place])
        windows += len(features)
        video_s += clips[place].duration_s
    parts = ranks.gather((faults, windows, video_s, time.monotonic() - started))
    if parts is None:
        return None
    all_faults = dict(unreadable or {})
    for part_faults, *_ in parts:
        all_faults |= part_faults
    there = {
        clip.clip_uid: IndexedClip(file.name, count, clip.duration_s, clip.video_uid, clip.start_s)
        for clip, file, identity in zip(clips, files, identities, strict=True)
        if (count := windows_there(file, identity)) is not None
    }
    if not there:
        path, cause = next(iter(all_faults.items()))
        raise ConfigError(f"none of the {len(clips)} clips can be read; the first: {path}: {cause}")
    index = replace(index, clips=index.clips | there, unreadable=all_faults)
    index.write(folder)
    _, each_windows, each_video_s, each_wall_s = zip(*parts, strict=True)
    return Extraction(
        index,
        made=len(there) - (len(clips) - len(pending)),
        reused=len(clips) - len(pending),
        windows=sum(each_windows),
        video_s=sum(each_video_s),
        wall_s=max(each_wall_s),
    )


def _embedded_clips(
    clips: Sequence[LongClip],
    wanted: Sequence[int],
    windowing: Windowing,
    run: EvaluatedRun,
    faults: dict[str, str],
    progress: bool,
) -> Iterator[tuple[int, Tensor]]:
    """Each wanted clip that can be read, with its features (windows, width) float32 on the CPU.

    Args:
        faults: takes the cause by file where one cannot.
    """
    counts = [windowing.count(clip.duration_s) for clip in clips]
    rows: list[Tensor] = []
    total = sum(counts[place] for place in wanted)
    stretches = read_stretches(clips, wanted, windowing, reading_of(run.recipe))
    with tqdm(total=total, desc="windows", unit="window", disable=not progress) as bar:
        for stretch in stretches:
            rows = rows if stretch.first else []
            if stretch.fault is not None:
                faults[stretch.fault.path] = stretch.fault.cause
            else:
                rows.append(_projected(run.model, stretch.video))
            bar.update(stretch.last - stretch.first)
            if stretch.last == counts[stretch.clip] == sum(map(len, rows)):
                yield stretch.clip, torch.cat(rows)


@torch.inference_mode()
def _projected(model: SViTTEgo, video: Tensor) -> Tensor:
    device = next(model.parameters()).device
    return model.project_video(model.encode_video(video.to(device)).pooled).float().cpu()


def _identity(clip: LongClip, windowing: Windowing, index: FeatureIndex) -> dict[str, str]:
    values = asdict(windowing) | asdict(clip)
    values |= {name: getattr(index, name) for name in ("frames", "width", "all_edges")}
    return {name: str(value) for name, value in values.items()} | {"weights": index.weights_sha256}
