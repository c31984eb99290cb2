"""Features on disk: a safetensors file for each clip, and an index of them.

features/
  index.json             what they are of, and which clips there are
  {clip_uid}.safetensors features (windows, width) float32
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.durable_files import write_atomically

INDEX = "index.json"
FEATURES = "features"


@dataclass(frozen=True)
class IndexedClip:
    """file: in the folder; start_s: of the clip in its video."""

    file: str
    windows: int
    duration_s: float
    video_uid: str
    start_s: float


@dataclass(frozen=True)
class FeatureIndex:
    """What a folder of features holds. Window i of a clip covers the frames
    [i * stride_frames, i * stride_frames + window_frames) at `fps`, from the clip's start."""

    window_frames: int
    stride_frames: int
    fps: float
    frames: int
    """That the model sees of a window."""
    width: int
    clips: dict[str, IndexedClip]
    unreadable: dict[str, str]
    """Cause by file: what was left out."""
    videos: VideoFiles
    """Where the frames are."""
    weights_sha256: str
    """Of the model that made them."""
    all_edges: bool = False
    """Whether it saw them with all edges, though sparse ones were trained."""

    def with_clips_of(self, folder: Path) -> "FeatureIndex":
        """Together with the clips that the folder's index, if there is one, has besides.

        Raises:
            ConfigError: it is of features made in another way.
        """
        if not (folder / INDEX).is_file():
            return self
        before = FeatureIndex.read(folder)
        settings = ("window_frames", "stride_frames", "fps", "frames", "width")
        for name in (*settings, "weights_sha256", "all_edges", "videos"):
            was, now = getattr(before, name), getattr(self, name)
            if was != now:
                raise ConfigError(
                    f"{folder / INDEX}: is of {name} {was}, not {now}: give another folder"
                )
        return replace(self, clips=before.clips | self.clips)

    def write(self, folder: Path) -> None:
        tree = asdict(self) | {"videos": self.videos.model_dump(mode="json")}
        write_atomically(folder / INDEX, json.dumps(tree, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "FeatureIndex":
        """
        Raises:
            ConfigError: no index, or not one of ours.
        """
        path = folder / INDEX
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            clips = {uid: IndexedClip(**clip) for uid, clip in tree.pop("clips").items()}
            videos = VideoFiles.model_validate(tree.pop("videos"))
            return cls(clips=clips, videos=videos, **tree)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                f"{path}: not an index of features; remove it and extract anew"
            ) from None


def write_features(
    path: Path, tensors: Mapping[str, NDArray[np.float32]], identity: Mapping[str, str]
) -> None:
    """Whole or not there.

    Args:
        identity: of what and how the features are; see `features_fit`.

    Raises:
        ConfigError: it cannot be written.
    """
    staging = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        staging.write_bytes(save(dict(tensors), dict(identity)))
        os.replace(staging, path)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


_BEFORE_ALL_EDGES = {"all_edges": "False"}
"""What files do not say that were written when there was no choice."""


def windows_there(path: Path, identity: Mapping[str, str]) -> int | None:
    """How many windows a file has; None where it is to be made: there is none, or a damaged one.

    Raises:
        ConfigError: it was made in another way.
    """
    try:
        with safe_open(path, framework="np") as file:
            found = _BEFORE_ALL_EDGES | (file.metadata() or {})
            windows = file.get_slice(FEATURES).get_shape()[0]
    except (OSError, SafetensorError):
        return None
    for key, value in identity.items():
        if found.get(key) != value:
            raise ConfigError(
                f"{path}: was made with {key} {found.get(key)}, not {value}: give another folder, "
                "or remove it"
            )
    return windows


def read_features(path: Path) -> NDArray[np.float32]:
    """(windows, width)

    Raises:
        ConfigError: missing or damaged.
    """
    try:
        return load_file(path)[FEATURES]
    except (OSError, SafetensorError, KeyError):
        raise ConfigError(f"{path}: missing or damaged: extract the features again") from None
