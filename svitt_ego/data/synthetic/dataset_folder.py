"""A folder of a generated dataset: videos in parallel, then annotations, then the manifest.

The manifest is written last: a folder with a matching one is complete and reused at once; one that
was interrupted is continued video by video.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from svitt_ego.config import ConfigError
from svitt_ego.data.worker_pool import run_jobs, usable_cpus
from svitt_ego.durable_files import locked, write_atomically

_MANIFEST = "manifest.json"
_STARTED = "manifest.partial.json"


def complete(
    folder: Path,
    request: dict[str, object],
    video_uids: Sequence[str],
    make_video: Callable[[int], None],
    annotate: Callable[[], dict[str, int]],
    workers: int,
    progress: bool,
) -> None:
    """Make sure the folder holds what is requested. Processes that ask for one folder at the same
    time wait for each other.

    Args:
        request: what the manifest says of the dataset; its first value is its name.
        make_video: of an index among `video_uids`; makes `folder`/videos/{uid}. Runs in workers.
        annotate: writes all other files; returns what the manifest counts.

    Raises:
        ConfigError: the folder cannot be made, or holds anything else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from None
    with locked(folder):
        _check_reusable(folder, request)
        missing = [i for i, uid in enumerate(video_uids) if not (folder / "videos" / uid).is_dir()]
        if missing or not (folder / _MANIFEST).exists():
            write_atomically(folder / _STARTED, json.dumps(request, indent=2))
            (folder / _MANIFEST).unlink(missing_ok=True)
            for unfinished in (folder / "videos").glob(".*.partial"):
                shutil.rmtree(unfinished)
            (folder / "videos").mkdir(exist_ok=True)
            name = str(request["dataset"])
            with tqdm(total=len(missing), desc=name, unit="video", disable=not progress) as bar:
                for _ in run_jobs(make_video, missing, workers):
                    bar.update()
            counts = annotate()
            write_atomically(folder / _MANIFEST, json.dumps(request | {"counts": counts}, indent=2))
            (folder / _STARTED).unlink()


def usable_workers(workers: int | None, seed: int) -> int:
    """How many processes; None: one a usable CPU core.

    Raises:
        ConfigError: fewer than one, or a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    workers = usable_cpus() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    return workers


def _check_reusable(folder: Path, request: dict[str, object]) -> None:
    """Raise ConfigError if the folder holds something other than (part of) the wanted dataset."""
    name = request["dataset"]
    names = [name for name in (_MANIFEST, _STARTED) if (folder / name).exists()]
    if not names:
        if any(folder.iterdir()):
            raise ConfigError(
                f"{folder} is not empty and holds no {name} dataset: "
                "choose another output folder or empty this one"
            )
        return
    path = folder / names[0]
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON ({error}): delete {folder}") from error
    for key, wanted in request.items():
        if found.get(key) != wanted:
            raise ConfigError(
                f"{folder} holds an EgoSynth dataset with {key} {found.get(key)!r}, wanted "
                f"{wanted!r}: choose another output folder or delete this one"
            )
