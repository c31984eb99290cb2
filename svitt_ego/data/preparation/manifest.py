"""What has been prepared: `manifest.jsonl`, the settings, then a line per finished chunk."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.data.preparation.encode_chunk import Chunk
from svitt_ego.data.preparation.settings import Settings
from svitt_ego.data.preparation.sources import ChunkJob
from svitt_ego.data.video.chunks import chunk_path
from svitt_ego.durable_files import read_json_lines, write_atomically

MANIFEST = "manifest.jsonl"


class ChunkManifest:
    """The manifest of a folder; one process at a time writes it."""

    def __init__(self, dest: Path, settings: Settings) -> None:
        """Goes on with the manifest of an earlier run.

        Raises:
            ConfigError: the folder was made with other settings.
        """
        self.path = dest / MANIFEST
        self._files = settings.files(dest)
        head, *lines = read_json_lines(self.path) or [{"settings": settings.noted()}]
        try:
            found = dict(head["settings"])
            chunks = [Chunk(**line) for line in lines]
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f"{self.path}: not a manifest of prepared videos: {error}") from None
        self._check(found, settings.noted())
        self.chunks = {(chunk.uid, chunk.chunk): chunk for chunk in chunks}
        # anew: a killed run may have left half a line
        whole = [head, *(asdict(chunk) for chunk in self.chunks.values())]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in whole))
        self._file = self.path.open("a", encoding="utf-8")

    def add(self, chunk: Chunk) -> None:
        self.chunks[chunk.uid, chunk.chunk] = chunk
        self._file.write(json.dumps(asdict(chunk)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def is_done(self, job: ChunkJob) -> bool:
        """Whether the chunk was made from the source as it is now, and its file is there."""
        chunk = self.chunks.get(job.key)
        if chunk is None or (chunk.source_size_bytes, chunk.source_mtime_ns) != (
            job.source.size_bytes,
            job.source.mtime_ns,
        ):
            return False
        path = chunk_path(self._files, chunk.uid, chunk.chunk)
        return chunk.frames == 0 or (path.is_file() and path.stat().st_size == chunk.size_bytes)

    def _check(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        for key, value in wanted.items():
            if found.get(key) != value:
                raise ConfigError(
                    f"{self.path}: the folder was prepared with {key} = {found.get(key)!r}, now it "
                    f"is {value!r}: give the same or another folder"
                )
