"""Embedding many clips and texts with a trained model, each once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import Recipe
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.batch import Fault
from svitt_ego.data.frame_sampling import frame_times
from svitt_ego.data.loader import limit_worker_threads
from svitt_ego.data.text import encode_texts
from svitt_ego.data.transforms import resize_clip
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.errors import VideoError
from svitt_ego.evaluation.mcq_questions import ChoiceClip
from svitt_ego.models import SViTTEgo

EmbedVideo = Callable[[Tensor], Tensor]
"""(B, T, 3, H, W) uint8 -> (B, P), L2-normalised."""
EmbedText = Callable[[Tensor, Tensor], Tensor]
"""ids and mask (B, L) int64 -> (B, P), L2-normalised."""


@dataclass(frozen=True)
class ClipReading:
    """How clips are read for evaluation: the middle frames of equal intervals, not cropped."""

    files: VideoFiles
    frames: int
    image_size: int
    """Height and width, pixels."""
    batch_size: int
    workers: int
    """Loader processes."""


def reading_of(recipe: Recipe) -> ClipReading:
    return ClipReading(
        files=recipe.data.videos,
        frames=recipe.data.frames,
        image_size=recipe.model.video.image_size,
        batch_size=recipe.evaluation.micro_batch_size,
        workers=recipe.data.workers,
    )


@dataclass(frozen=True)
class ClipEmbeddings:
    """features: (clips, P) float32 on the CPU, zero where a clip is unreadable; faults: by index
    of the clip."""

    features: Tensor
    faults: dict[int, Fault]


def embedders(model: SViTTEgo) -> tuple[EmbedVideo, EmbedText]:
    """The projected features of a model, in evaluation mode and on the device where it is."""
    model.eval()
    device = next(model.parameters()).device

    @torch.inference_mode()
    def embed_video(video: Tensor) -> Tensor:
        return model.project_video(model.encode_video(video.to(device)).pooled)

    @torch.inference_mode()
    def embed_text(ids: Tensor, mask: Tensor) -> Tensor:
        return model.project_text(model.encode_text(ids.to(device), mask.to(device)).pooled)

    return embed_video, embed_text


def embed_clips(
    clips: Sequence[ChoiceClip], reading: ClipReading, embed_video: EmbedVideo, progress: bool
) -> ClipEmbeddings:
    """Read and embed each clip once; an unreadable one becomes a fault."""
    assert clips
    loader = DataLoader(
        _EvaluationClips(clips, reading),
        batch_size=reading.batch_size,
        collate_fn=_keep_readable,
        num_workers=reading.workers,
        worker_init_fn=limit_worker_threads,
        generator=torch.Generator(),  # not the global one, whose state belongs to the model
    )
    indices: list[int] = []
    features: list[Tensor] = []
    faults: dict[int, Fault] = {}
    with tqdm(total=len(clips), desc="clips", unit="clip", disable=not progress) as bar:
        for batch in loader:
            faults |= batch.faults
            if batch.video is not None:
                indices += batch.indices
                features.append(embed_video(batch.video).float().cpu())
            bar.update(len(batch.indices) + len(batch.faults))
    if not features:
        return ClipEmbeddings(torch.empty(len(clips), 0), faults)
    found = torch.cat(features)
    table = found.new_zeros(len(clips), found.shape[1])
    table[indices] = found
    return ClipEmbeddings(table, faults)


def embed_texts(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    batch_size: int,
    embed_text: EmbedText,
    progress: bool,
) -> Tensor:
    """(texts, P) float32 on the CPU."""
    features = []
    with tqdm(total=len(texts), desc="texts", unit="text", disable=not progress) as bar:
        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            ids, mask = encode_texts(tokenizer, batch, max_tokens)
            features.append(embed_text(ids, mask).float().cpu())
            bar.update(len(batch))
    return torch.cat(features)


@dataclass(frozen=True)
class _ReadClip:
    index: int
    video: Tensor | None
    fault: Fault | None


@dataclass(frozen=True)
class _ReadBatch:
    indices: list[int]
    video: Tensor | None
    faults: dict[int, Fault]


class _EvaluationClips(Dataset[_ReadClip]):
    def __init__(self, clips: Sequence[ChoiceClip], reading: ClipReading) -> None:
        self._clips = clips
        self._reading = reading

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> _ReadClip:
        clip, reading = self._clips[index], self._reading
        times_s = frame_times(clip.start_s, clip.end_s, reading.frames, rng=None)
        try:
            video = read_clip(reading.files, clip.video_uid, times_s)
        except VideoError as error:
            return _ReadClip(index, None, Fault(str(error.path), error.cause))
        return _ReadClip(index, resize_clip(video, reading.image_size), None)


def _keep_readable(clips: Sequence[_ReadClip]) -> _ReadBatch:
    readable = [clip for clip in clips if clip.video is not None]
    return _ReadBatch(
        indices=[clip.index for clip in readable],
        video=torch.stack([clip.video for clip in readable]) if readable else None,
        faults={clip.index: clip.fault for clip in clips if clip.fault is not None},
    )
