"""Extracting features of long clips: one vector for each window, the video encoder's pooled output.

`SViTTEgo.project_video` makes of them what is compared with texts. The work is divided by clips
among ranks, and what is there already is kept, so that it can be stopped at any time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from svitt_ego.config import ConfigError
from svitt_ego.data.batch import Fault
from svitt_ego.evaluation.clip_reading import ClipReading, reading_of
from svitt_ego.evaluation.evaluated_run import EvaluatedRun
from svitt_ego.evaluation.feature_files import (
    FEATURES,
    FeatureIndex,
    IndexedClip,
    windows_there,
    write_features,
)
from svitt_ego.evaluation.long_clips import LongClip
from svitt_ego.evaluation.ranks import Ranks
from svitt_ego.evaluation.windows import Windowing, read_stretches
from svitt_ego.models import SViTTEgo


@dataclass(frozen=True)
class Extraction:
    """What was done, over all ranks."""

    index: FeatureIndex
    reused: int
    """Clips that were there already."""
    windows: int
    """Embedded now."""
    video_s: float
    """Length of the clips embedded now."""
    wall_s: float
    """Of the slowest rank, reading and writing included."""

    def summary(self) -> str:
        made = len(self.index.clips) - self.reused
        lines = [f"{made} clips embedded, {self.reused} there already"]
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
    reading, weights_sha256 = reading_of(run.recipe), run.weights_sha256
    folder.mkdir(parents=True, exist_ok=True)
    identities = [_identity(clip, windowing, reading, weights_sha256) for clip in clips]
    files = [folder / f"{clip.clip_uid}.safetensors" for clip in clips]
    # one rank looks, before any writes: all must divide the same list
    pending = ranks.from_first(
        [
            index
            for index, (file, identity) in enumerate(zip(files, identities, strict=True))
            if windows_there(file, identity) is None
        ]
        if ranks.is_first
        else None
    )
    own = [pending[place] for place in ranks.share(len(pending))]
    faults: dict[str, str] = {}
    windows, video_s = 0, 0.0
    embed = _pooled_embedder(run.model)
    rows: list[Tensor] = []
    total = sum(windowing.count(clips[index].duration_s) for index in own)
    shown = progress and ranks.is_first
    with tqdm(total=total, desc="windows", unit="window", disable=not shown) as bar:
        for stretch in read_stretches(clips, own, windowing, reading):
            clip = clips[stretch.clip]
            rows = rows if stretch.first else []
            if stretch.video is None:
                faults |= _named(stretch.fault)
            else:
                rows.append(embed(stretch.video))
            bar.update(stretch.last - stretch.first)
            count = windowing.count(clip.duration_s)
            if stretch.last == count and sum(map(len, rows)) == count:
                features = torch.cat(rows).numpy()
                write_features(files[stretch.clip], {FEATURES: features}, identities[stretch.clip])
                windows += count
                video_s += clip.duration_s
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
    index = FeatureIndex(
        **asdict(windowing),
        width=run.model.recipe.video.width,
        clips=there,
        unreadable=all_faults,
        videos=reading.files,
        weights_sha256=weights_sha256,
    )
    index.write(folder)
    _, each_windows, each_video_s, each_wall_s = zip(*parts, strict=True)
    return Extraction(
        index,
        reused=len(clips) - len(pending),
        windows=sum(each_windows),
        video_s=sum(each_video_s),
        wall_s=max(each_wall_s),
    )


def _pooled_embedder(model: SViTTEgo) -> Callable[[Tensor], Tensor]:
    model.eval()
    device = next(model.parameters()).device

    @torch.inference_mode()
    def embed(video: Tensor) -> Tensor:
        return model.encode_video(video.to(device)).pooled.float().cpu()

    return embed


def _identity(
    clip: LongClip, windowing: Windowing, reading: ClipReading, weights_sha256: str
) -> dict[str, str]:
    values = asdict(windowing) | asdict(clip) | {"frames": reading.frames}
    return {name: str(value) for name, value in values.items()} | {"weights": weights_sha256}


def _named(fault: Fault | None) -> dict[str, str]:
    assert fault is not None
    return {fault.path: fault.cause}
