"""Embedding many clips and texts with a trained model, each once, on one or several ranks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.batch import Fault
from svitt_ego.data.text import encode_texts
from svitt_ego.evaluation.clip_reading import ClipReading, read_batches
from svitt_ego.evaluation.ranks import Ranks
from svitt_ego.evaluation.video_clip import VideoClip
from svitt_ego.models import SViTTEgo

EmbedClips = Callable[[Tensor, Sequence[int]], Tensor]
"""(B, T, 3, H, W) uint8 and the clips' indices -> (B, P), L2-normalised."""
EmbedText = Callable[[Tensor, Tensor], Tensor]
"""ids and mask (B, L) int64 -> (B, P), L2-normalised."""


@dataclass(frozen=True)
class ClipEmbeddings:
    """features: (clips, P) float32 on the CPU, zero where a clip is unreadable; faults: by index
    of the clip."""

    features: Tensor
    faults: dict[int, Fault]


def embedders(model: SViTTEgo) -> tuple[EmbedClips, EmbedText]:
    """The projected features of a model, in evaluation mode and on the device where it is."""
    model.eval()
    device = next(model.parameters()).device

    @torch.inference_mode()
    def embed_clips(video: Tensor, _: Sequence[int]) -> Tensor:
        return model.project_video(model.encode_video(video.to(device)).pooled)

    @torch.inference_mode()
    def embed_text(ids: Tensor, mask: Tensor) -> Tensor:
        return model.project_text(model.encode_text(ids.to(device), mask.to(device)).pooled)

    return embed_clips, embed_text


def embed_own_clips(
    clips: Sequence[VideoClip],
    reading: ClipReading,
    embed: EmbedClips,
    ranks: Ranks,
    progress: bool = True,
) -> ClipEmbeddings:
    """Read and embed each clip of this rank's share once; an unreadable one becomes a fault.

    The features have a row for each of the share, in its order; faults are by index in `clips`.
    """
    share = ranks.share(len(clips))
    features: dict[int, Tensor] = {}
    faults: dict[int, Fault] = {}
    shown = progress and ranks.is_first
    with tqdm(total=len(share), desc="clips", unit="clip", disable=not shown) as bar:
        for batch in read_batches(clips, share, reading):
            faults |= batch.faults
            if batch.video is not None:
                embedded = embed(batch.video, batch.indices).float().cpu()
                features |= zip(batch.indices, embedded, strict=True)
            bar.update(len(batch.indices) + len(batch.faults))
    width = len(next(iter(features.values()))) if features else 0
    nothing = torch.zeros(width)
    rows = [features.get(index, nothing) for index in share]
    return ClipEmbeddings(torch.stack(rows) if rows else torch.empty(0, width), faults)


def embed_clips(
    clips: Sequence[VideoClip],
    reading: ClipReading,
    embed: EmbedClips,
    ranks: Ranks,
    progress: bool = True,
) -> ClipEmbeddings | None:
    """All clips, each read and embedded once by one of the ranks; None but on rank 0.

    Raises:
        ConfigError: no clip can be read.
    """
    assert clips
    own = embed_own_clips(clips, reading, embed, ranks, progress)
    parts = ranks.gather((own.features.numpy(), own.faults))
    if parts is None:
        return None
    faults = {index: fault for _, part in parts for index, fault in part.items()}
    if len(faults) == len(clips):
        raise _nothing_readable(reading.files, faults)
    table = torch.zeros(len(clips), max(features.shape[1] for features, _ in parts))
    for rank, (features, _) in enumerate(parts):
        if features.size:
            table[rank :: ranks.world_size] = torch.from_numpy(features)
    return ClipEmbeddings(table, faults)


def embed_texts(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    batch_size: int,
    embed_text: EmbedText,
    progress: bool = True,
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


def _nothing_readable(files: VideoFiles, faults: dict[int, Fault]) -> ConfigError:
    first = faults[min(faults)]
    return ConfigError(
        f"data.videos (root {files.root!r}, layout {files.layout!r}): none of the {len(faults)} "
        f"clips can be read; the first: {first.path}: {first.cause}"
    )
