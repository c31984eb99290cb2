"""Small files in Ego4D's and GroundNLQ's formats, and features to go with them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

CLIP_S = 20.0


def nlq_query(start_s: float, end_s: float, text: str | None = "Where was the cup?") -> dict:
    return {
        "clip_start_sec": start_s,
        "clip_end_sec": end_s,
        "video_start_sec": start_s + 100,
        "video_end_sec": end_s + 100,
        "template": "Objects: Where is object X before / after event Y?",
        "query": text,
        "slot_x": "cup",
        "verb_x": "[verb_not_applicable]",
    }


def nlq_clip(name: str, *queries: dict) -> dict:
    return {
        "clip_uid": name,
        "video_start_sec": 100.0,
        "video_end_sec": 100.0 + CLIP_S,
        "clip_start_sec": 0,
        "clip_end_sec": CLIP_S,
        "source_clip_uid": "source",
        "annotations": [{"annotation_uid": f"note-{name}", "language_queries": list(queries)}],
    }


def nlq_tree(*clips: dict) -> dict:
    return {
        "version": "v1",
        "date": "220101",
        "description": "NLQ Annotations (val)",
        "metadata": "",
        "videos": [{"video_uid": "video", "split": "val", "clips": list(clips)}],
    }


def write_nlq(path: Path, *clips: dict) -> Path:
    path.write_text(json.dumps(nlq_tree(*clips)))
    return path


def write_features(
    folder: Path, clip_uids: list[str], width: int = 10, **changes: float
) -> dict[str, torch.Tensor]:
    """Of clips of CLIP_S seconds at 4 frames every 4 frames: 150 windows."""
    folder.mkdir(parents=True)
    features = {uid: torch.randn(150, width) for uid in clip_uids}
    clips = {}
    for uid, tensor in features.items():
        save_file({"features": tensor}, folder / f"{uid}.safetensors")
        clips[uid] = {"file": f"{uid}.safetensors", "windows": 150, "duration_s": CLIP_S}
    grid = {"window_frames": 4, "stride_frames": 4, "fps": 30.0, "width": width} | changes
    (folder / "index.json").write_text(json.dumps({**grid, "clips": clips}))
    return features


def write_text_features(path: Path, ids: list[str], width: int = 6) -> dict[str, torch.Tensor]:
    features = {id: torch.randn(3 + place, width) for place, id in enumerate(ids)}
    save_file(features, path)
    return features
