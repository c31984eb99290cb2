"""A small world of egocentric files and the recipe that names it."""

from pathlib import Path

import pytest

from svitt_ego.config import Recipe
from tests.data.ego_files import save_tokenizer, write_egoclip, write_video

FPS, CHUNK_S, VIDEOS, CLIPS_PER_VIDEO = 10, 4, 4, 6
VIDEO_FRAMES = 100


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """Numbered videos in chunks of 4 s, 10 s each; clips of 1.5 s, some across chunk borders."""
    root = tmp_path_factory.mktemp("world")
    rows = []
    for video in range(VIDEOS):
        for chunk in range(3):
            first = chunk * FPS * CHUNK_S
            frames = min(FPS * CHUNK_S, VIDEO_FRAMES - first)
            path = root / "videos" / f"video{video}" / f"{chunk}.mp4"
            write_video(path, frames, FPS, first_number=first + video * VIDEO_FRAMES)
        for clip in range(CLIPS_PER_VIDEO):
            start = 0.1 + clip * 1.6
            rows.append(
                {"video_uid": f"video{video}", "clip_start": start, "clip_end": start + 1.5}
                | {"tag_verb": [clip % 3], "tag_noun": [clip % 2, 4]}
            )
    write_egoclip(root / "egoclip.csv", rows)
    save_tokenizer(root / "tokenizer")
    return root


@pytest.fixture
def recipe(world) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "seed": 3,
            "model": {"video": {"image_size": 32, "edge_sparsity": None}},
            "data": {
                "metadata": str(world / "egoclip.csv"),
                "videos": {"root": str(world / "videos"), "chunk_s": float(CHUNK_S)},
                "tokenizer": str(world / "tokenizer"),
                "frames": 3,
                "workers": 0,
                "augmentation": {"crop_scale": [1.0, 1.0], "horizontal_flip": False},
            },
            "training": {"epochs": 2, "micro_batch_size": 4},
            "optimisation": {"warmup_epochs": 0.0},
        }
    )
