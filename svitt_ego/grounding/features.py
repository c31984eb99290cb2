"""Features of clips and of queries, as files of safetensors: opened by memory map, never unpickled.

Clips: a folder with `index.json` and for each clip a file with one tensor, `features`, (windows,
width) fp32. Queries: one file with a tensor (tokens, width) for each query's id.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from svitt_ego.config import ConfigError
from svitt_ego.grounding.time_grid import TimeGrid

INDEX = "index.json"
TENSOR = "features"
_LIMIT = 1e12
"""Above any number in an index."""


def query_file(folder: str | Path, queries: str | Path) -> Path:
    """Where in a folder of features those of a file of queries are."""
    return Path(folder) / f"queries_{Path(queries).stem}.safetensors"


class FeaturesError(ConfigError):
    """Features cannot be used; names file and clip or query."""

    def __init__(self, said: str, path: Path | None = None) -> None:
        """
        Args:
            path: of the file, where one clip's or query's features cannot be read.
        """
        super().__init__(said)
        self.path = path


@dataclass(frozen=True)
class ClipEntry:
    file: str
    windows: int
    duration_s: float


@dataclass(frozen=True)
class ClipFeatures:
    """The features of many clips, read one by one."""

    folder: Path
    grid: TimeGrid
    width: int
    clips: dict[str, ClipEntry]
    weights_sha256: str | None = None
    """Of the model that made them, where the index says so."""

    @classmethod
    def open(cls, folder: str | Path) -> "ClipFeatures":
        """Read the index.

        Raises:
            FeaturesError: there is none, or it is not as it must be.
        """
        folder = Path(folder)
        path = folder / INDEX
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FeaturesError(
                f"{path}: {error.strerror or error}: set data.features to a folder that "
                "extract_features.py wrote"
            ) from None
        except ValueError as error:
            raise FeaturesError(f"{path}: not JSON: {error}") from None
        try:
            grid = TimeGrid(
                *(_above_0(tree, key) for key in ("window_frames", "stride_frames", "fps"))
            )
            clips = {uid: _entry(uid, node) for uid, node in tree["clips"].items()}
            width = _whole_above_0(tree, "width")
            return cls(folder, grid, width, clips, tree.get("weights_sha256"))
        except (KeyError, AttributeError, TypeError):
            raise FeaturesError(f"{path}: clips must be an object of entries by clip_uid") from None
        except ValueError as error:
            raise FeaturesError(f"{path}: {error}") from None

    def check(self, grid: TimeGrid, width: int, training: bool) -> None:
        """
        Args:
            training: the recipe may still be changed; that of a trained model may not.

        Raises:
            FeaturesError: the features are of another window, stride, frame rate or width, or a
                clip has not as many windows as its length and the stride make.
        """
        path = self.folder / INDEX
        for key in ("window_frames", "stride_frames", "fps"):
            has, wanted = getattr(self.grid, key), getattr(grid, key)
            option = f"--{key.removesuffix('_frames')} {wanted:g}"
            if has != wanted and training:
                raise FeaturesError(
                    f"{path}: {key} = {has:g}, but the recipe's data.grid.{key} is {wanted:g}: "
                    f"extract the features with {option}, or set data.grid.{key}={has:g}"
                )
            if has != wanted:
                raise FeaturesError(
                    f"{path}: {key} = {has:g}, but the run was trained on {wanted:g}: extract the "
                    f"features with {option}"
                )
        if self.width != width and training:
            raise FeaturesError(
                f"{path}: width = {self.width}, but the recipe's model.video_width is {width}: set "
                f"model.video_width={self.width}"
            )
        if self.width != width:
            raise FeaturesError(
                f"{path}: width = {self.width}, but the run was trained on {width}: extract the "
                "features with the model that made those of its training"
            )
        for clip_uid, clip in self.clips.items():
            due = grid.windows_in(clip.duration_s)
            # others may count the last, partial one, and 16.043 frames stand for 30 / 1.87
            if abs(clip.windows - due) > max(1, 0.01 * due):
                raise FeaturesError(
                    f"{path}: clip {clip_uid} has {clip.windows} windows, but its "
                    f"{clip.duration_s:g} s have {due} of this stride: extract its features anew"
                )

    def entry(self, clip_uid: str) -> ClipEntry:
        """
        Raises:
            FeaturesError: the clip has no features.
        """
        if clip_uid not in self.clips:
            raise FeaturesError(
                f"{self.folder / INDEX}: clip {clip_uid} has no features: "
                "give its file to extract_features.py as --clips"
            )
        return self.clips[clip_uid]

    def file(self, clip_uid: str) -> Path:
        return self.folder / self.entry(clip_uid).file

    def read(self, clip_uid: str) -> Tensor:
        """(windows, width) fp32.

        Raises:
            FeaturesError: there are none, or not those that the index promises.
        """
        entry, path = self.entry(clip_uid), self.file(clip_uid)
        with _opened(path) as file:
            if TENSOR not in file.keys():  # noqa: SIM118 (not a mapping)
                raise FeaturesError(f"{path}: holds no tensor {TENSOR!r}", path)
            features = file.get_tensor(TENSOR)
        shape = (entry.windows, self.width)
        if features.dtype != torch.float32 or features.shape != shape:
            raise FeaturesError(
                f"{path}: {TENSOR} is {tuple(features.shape)} {features.dtype}, but {INDEX} says "
                f"{shape} and it must be torch.float32",
                path,
            )
        if not features.isfinite().all():
            raise FeaturesError(f"{path}: {TENSOR} holds a value that is not finite", path)
        return features


class TextFeatures:
    """Token features of queries, read one by one."""

    def __init__(self, path: str | Path, width: int) -> None:
        """
        Args:
            width: that a query's features must have.

        Raises:
            FeaturesError: the file cannot be read.
        """
        self.path, self.width = Path(path), width
        with _opened(self.path) as file:
            self.ids = frozenset(file.keys())
            self.weights_sha256 = (file.metadata() or {}).get("weights")
        self._open: tuple[int, Any] | None = None

    def check(self, query_id: str) -> None:
        """
        Raises:
            FeaturesError: the query has no features, or of another width.
        """
        if query_id not in self.ids:
            raise FeaturesError(
                f"{self.path}: query {query_id} has no features: "
                "give its file to extract_features.py as --queries, or set data.text_features",
                self.path,
            )
        shape = self._of_process().get_slice(query_id).get_shape()
        if len(shape) != 2 or not shape[0] or shape[1] != self.width:
            raise FeaturesError(
                f"{self.path}: query {query_id} has features {tuple(shape)}, but the recipe's "
                f"model.text_width is {self.width}: train with the features' width, or extract "
                "them with the model that made those of the training",
                self.path,
            )

    def check_made_like(self, clips: ClipFeatures) -> None:
        """
        Raises:
            FeaturesError: both say of which model they are, and it is not the same.
        """
        own, other = self.weights_sha256, clips.weights_sha256
        if own and other and own != other:
            raise FeaturesError(
                f"{self.path}: made with the weights {own:.12}, but {clips.folder / INDEX} with "
                f"{other:.12}: extract clips and queries with one model"
            )

    def read(self, query_id: str) -> Tensor:
        """(tokens, width) fp32.

        Raises:
            FeaturesError: there are none, of another width, or not finite.
        """
        self.check(query_id)
        features = self._of_process().get_tensor(query_id).float()
        if not features.isfinite().all():
            raise FeaturesError(
                f"{self.path}: query {query_id} holds a value that is not finite", self.path
            )
        return features

    def _of_process(self) -> Any:
        """The file, opened once in each process: with many queries its header is long."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), _opened(self.path))
        return self._open[1]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_open": None}


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise FeaturesError(f"{path}: cannot be read as safetensors: {reason}", path) from None


def _entry(clip_uid: str, node: Any) -> ClipEntry:
    try:
        name = node["file"]
        # a name that leads out of the folder is not one that the extraction wrote
        if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in name:
            raise ValueError(f"file = {name!r}: must be a path inside the folder")
        return ClipEntry(name, _whole_above_0(node, "windows"), _above_0(node, "duration_s"))
    except (KeyError, TypeError):
        raise ValueError(f"clip {clip_uid}: must have file, windows and duration_s") from None
    except ValueError as error:
        raise ValueError(f"clip {clip_uid}: {error}") from None


def _above_0(node: Any, key: str) -> float:
    value = node[key] if isinstance(node, dict) and key in node else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < _LIMIT:
        raise ValueError(f"{key} = {value!r:.60}: must be a number above 0 and below {_LIMIT:g}")
    return value


def _whole_above_0(node: Any, key: str) -> int:
    value = _above_0(node, key)
    if not isinstance(value, int):
        raise ValueError(f"{key} = {value!r}: must be a whole number")
    return value
