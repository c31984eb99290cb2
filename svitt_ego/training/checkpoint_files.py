"""How DeepSpeed's shards reach the disk and come back."""

from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

from svitt_ego.durable_files import flush_to_disk
from svitt_ego.training.manifest import SavedFile, checksum_of
from svitt_ego.training.pickles import harmless_only


class CheckpointFiles(TorchCheckpointEngine):
    """Writes a rank's files durably and keeps their checksums; loads nothing that could run code.

    A file that cannot be written, on a full disk say, is noted and not raised: DeepSpeed's saving
    has barriers, at which the other ranks would wait for this one for ever. Whoever saves looks at
    `error` afterwards.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.zipfile_serialization = True
        self.written: dict[str, SavedFile] = {}
        self.error: str | None = None

    def save(self, state_dict: Any, path: str) -> None:
        try:
            super().save(state_dict, path)
            self.note(Path(path))
        except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError
            self.error = self.error or f"{path}: {_first_line(error)}"

    def load(self, path: str, map_location: Any = None) -> Any:
        with harmless_only():
            return torch.load(path, map_location=map_location, weights_only=True)

    def note(self, path: Path) -> None:
        """Make a file durable and remember its checksum."""
        flush_to_disk(path)
        self.written[path.name] = checksum_of(path)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
