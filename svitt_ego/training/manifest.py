"""What makes a checkpoint whole: manifest.json lists its files with sizes and checksums,
and has one of itself.

It is written after every rank has written its files, and before the folder takes its final name.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.durable_files import write_atomically

MANIFEST = "manifest.json"
_READ_AT_ONCE_BYTES = 1 << 24


@dataclass(frozen=True)
class SavedFile:
    bytes: int
    checksum: str
    """blake2b, 32 hexadecimal digits."""


@dataclass(frozen=True)
class Manifest:
    step: int
    world_size: int
    zero_stage: int
    offloads_optimizer: bool
    precision: str
    micro_batch_size: int
    gradient_accumulation_steps: int
    recipe_checksum: str
    """Of the recipe as it was resolved: tells which run the checkpoint is of."""
    packages: dict[str, str]
    metrics: dict[str, float]
    """Mean losses over the steps since the checkpoint before."""
    files: dict[str, SavedFile]

    @property
    def global_batch_size(self) -> int:
        """Anchors of a step."""
        return self.micro_batch_size * self.gradient_accumulation_steps * self.world_size

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files.values())

    def write(self, folder: Path) -> None:
        tree = asdict(self)
        tree["checksum"] = checksum_of_settings(tree)  # of all the rest
        write_atomically(folder / MANIFEST, json.dumps(tree, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """
        Raises:
            ConfigError: there is none, or it is not one; one line with the path.
        """
        path = folder / MANIFEST
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree.pop("checksum") != checksum_of_settings(tree):
                raise ValueError
            files = {name: SavedFile(**file) for name, file in tree.pop("files").items()}
            return cls(**tree, files=files)
        except FileNotFoundError:
            raise ConfigError(f"{path}: missing, so the checkpoint was never completed") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(f"{path}: damaged") from None


def checksum_of(path: Path) -> SavedFile:
    """Size and checksum of a file as it is on disk."""
    with path.open("rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while piece := file.read(_READ_AT_ONCE_BYTES):
            digest.update(piece)
        return SavedFile(os.fstat(file.fileno()).st_size, digest.hexdigest())


def checksum_of_settings(settings: dict[str, Any]) -> str:
    """Of what JSON can hold, whatever the order of its keys."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def check_file(folder: Path, name: str, expected: SavedFile) -> None:
    """
    Raises:
        ConfigError: missing, of another size, or changed since it was written.
    """
    path = folder / name
    try:
        found = path.stat().st_size
        if found != expected.bytes:
            raise ConfigError(f"{path}: has {found} bytes instead of {expected.bytes}")
        if checksum_of(path) != expected:
            raise ConfigError(f"{path}: was changed or damaged since it was written")
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def verify(folder: Path) -> Manifest:
    """Compare every file of a checkpoint with its manifest.

    Raises:
        ConfigError: what is wrong with it, one line.
    """
    manifest = Manifest.read(folder)
    for name, expected in manifest.files.items():
        check_file(folder, name, expected)
    return manifest
