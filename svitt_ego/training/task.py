"""The pre-training task: the model and its objectives as one module, batch in, losses out.

Whole and masked texts go through the text encoder together, and the pairs of both multimodal
objectives through the fusion encoder: each weight is then used once in a step, so its gradient is
complete, and put away, as soon as it is computed. With two passes the first one's gradients would
wait for the second's, all layers of them, while the video's activations are still held.

N: anchors of this rank; M: clips of this rank, N or 2N with scene-aware negatives; L: text tokens;
D: width of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from svitt_ego.config.schema import Objectives
from svitt_ego.data.batch import Batch, StoredBatch
from svitt_ego.models.svitt import SViTTEgo
from svitt_ego.models.text_encoder import TextOutput
from svitt_ego.models.video_encoder import VideoOutput
from svitt_ego.objectives import (
    MaskedText,
    MatchPairs,
    draw_match_pairs,
    egonce,
    gather_with_gradient,
    gather_without_gradient,
    infonce,
    mask_tokens,
    positives,
    vtm_loss,
)
from svitt_ego.training.cached_contrastive import (
    CachedContrastive,
    Features,
    cache_contrastive,
)
from svitt_ego.training.draws import MASKING, MATCHING, Draws
from svitt_ego.training.job import Task
from svitt_ego.training.sharded_weights import gathered


@dataclass(frozen=True)
class SpecialTokens:
    """Ids the masking needs to know."""

    special: tuple[int, ...]
    mask: int


class Losses(NamedTuple):
    """Scalars. total is the weighted sum; an objective of weight 0 is None."""

    total: Tensor
    contrastive: Tensor | None
    vtm: Tensor | None
    mlm: Tensor | None


@dataclass(frozen=True)
class OfStep:
    """What a micro-batch must know of the whole step, so that the mean over its micro-batches and
    ranks is the step's loss."""

    masked_tokens: float | None = None
    """Mean number of a micro-batch's masked tokens, over micro-batches and ranks. Masked tokens
    then count alike wherever they are; None: each micro-batch counts alike."""
    contrastive: CachedContrastive | None = None
    """None: the contrastive loss is over this micro-batch of all ranks."""


ALONE = OfStep()


class PretrainingTask(Task):
    losses = Losses._fields
    model: SViTTEgo

    def __init__(
        self,
        model: SViTTEgo,
        objectives: Objectives,
        tokens: SpecialTokens,
        over_step: bool = False,
    ) -> None:
        """
        Args:
            over_step: the contrastive loss is over all micro-batches of a step, not over each.
        """
        super().__init__()
        self.model = model
        self.objectives = objectives
        self.tokens = tokens
        self.over_step = over_step

    def forward(
        self, batch: Batch, draws: Draws, of_step: OfStep = ALONE, only_features: bool = False
    ) -> Losses | Features:
        """One micro-batch of one rank. The contrastive loss is over the clips of all ranks.

        Args:
            only_features: `features` instead; by this way because ZeRO-3 gathers the weights of
                what is called as a module.
        """
        if only_features:
            return self.features(batch, draws)
        model, objectives = self.model, self.objectives
        masked = self.mask(batch, draws)
        video, text, masked_tokens = self._encode(batch, draws, masked)
        video_features = model.project_video(video.pooled)
        text_features = model.project_text(text.pooled)
        temperature = model.temperature()
        parts: dict[str, Tensor] = {}
        if of_step.contrastive is not None:
            parts["contrastive"] = of_step.contrastive.through(
                text_features, video_features, temperature
            )
        elif objectives.contrastive.weight:
            parts["contrastive"] = self._contrastive(
                text_features, video_features, temperature, batch
            )
        pairs = None
        if objectives.vtm.weight:
            scores = text_features.detach() @ video_features.detach().T / temperature.detach()
            positive_mask = positives(batch.verb_tags, batch.noun_tags)
            pairs = draw_match_pairs(scores, positive_mask, batch.anchors, draws.of(MATCHING))
        of_pairs, of_masked = self._fuse(video, text, pairs, masked_tokens, batch)
        if pairs is not None:
            parts["vtm"] = vtm_loss(model.match_logits(of_pairs), pairs.label)
        if masked is not None:
            hidden = of_masked.flatten(0, 1)[masked.positions]
            parts["mlm"] = model.mlm_loss(hidden, masked.labels)
            if of_step.masked_tokens:
                parts["mlm"] = parts["mlm"] * (len(masked.labels) / of_step.masked_tokens)
        weighted = [getattr(objectives, name).weight * loss for name, loss in parts.items()]
        total = torch.stack(weighted).sum()
        return Losses(total, parts.get("contrastive"), parts.get("vtm"), parts.get("mlm"))

    def of_step(
        self,
        batches: Sequence[Batch | StoredBatch],
        draws: Sequence[Draws],
        device: torch.device,
    ) -> list[OfStep]:
        masked_tokens = self._mean_masked_tokens(batches, draws, device)
        if not self.over_step:
            return [OfStep(masked_tokens)] * len(batches)
        pairs = zip(batches, draws, strict=True)
        features = [self(batch.to(device), draw, only_features=True) for batch, draw in pairs]
        cached = cache_contrastive(features, self.contrastive_loss)
        return [OfStep(masked_tokens, contrastive) for contrastive in cached]

    def figures(self) -> dict[str, float]:
        with gathered([self.model.temperature_parameter]):
            return {"temperature": self.model.temperature().item()}

    @torch.no_grad()
    def features(self, batch: Batch, draws: Draws) -> Features:
        """What `forward` compares in the contrastive loss, with the same draws."""
        video, text, _ = self._encode(batch, draws, self.mask(batch, draws))
        return Features(
            self.model.project_text(text.pooled),
            self.model.project_video(video.pooled),
            batch.verb_tags,
            batch.noun_tags,
            self.model.temperature(),
        )

    def contrastive_loss(
        self, text: Tensor, video: Tensor, temperature: Tensor, positive_mask: Tensor
    ) -> Tensor:
        """EgoNCE or InfoNCE, as the recipe says, of features (n, P) and positives (n, n)."""
        if self.objectives.contrastive.name == "infonce":
            return infonce(text, video, temperature)
        return egonce(text, video, temperature, positive_mask)

    def mask(self, batch: Batch, draws: Draws) -> MaskedText | None:
        """The anchors' texts with gaps, drawn by step and clip: the same wherever the clip is."""
        if not self.objectives.mlm.weight:
            return None
        rows = batch.rows[: batch.anchors].tolist()
        return mask_tokens(
            batch.text_ids[: batch.anchors],
            batch.text_mask[: batch.anchors],
            self.tokens.special,
            self.tokens.mask,
            self.model.recipe.text.vocabulary_size,
            self.objectives.mlm.mask_probability,
            [draws.of_clip(MASKING, row) for row in rows],
        )

    def _mean_masked_tokens(
        self,
        batches: Sequence[Batch | StoredBatch],
        draws: Sequence[Draws],
        device: torch.device,
    ) -> float | None:
        """Of a micro-batch, over all of the step's, all ranks'."""
        pairs = zip(batches, draws, strict=True)
        masked = [self.mask(batch.without_video(), draw) for batch, draw in pairs]
        if masked[0] is None:
            return None
        tokens = torch.tensor(
            sum(len(m.labels) for m in masked), dtype=torch.float32, device=device
        )
        dist.all_reduce(tokens)
        return tokens.item() / (len(batches) * dist.get_world_size())

    def _encode(
        self, batch: Batch, draws: Draws, masked: MaskedText | None
    ) -> tuple[VideoOutput, TextOutput, Tensor | None]:
        """Of the videos, the whole texts, and the tokens (N, L, D) of the masked ones."""
        draws.seed_torch()
        patterns = self.model.video.patterns(batch.video.shape[1], draws.seed, draws.step)
        video = self.model.encode_video(batch.video, patterns)
        return video, *self._encode_texts(batch, masked)

    def _contrastive(
        self, text: Tensor, video: Tensor, temperature: Tensor, batch: Batch
    ) -> Tensor:
        text, video = gather_with_gradient(text), gather_with_gradient(video)
        verbs = gather_without_gradient(batch.verb_tags.to(torch.uint8)).bool()
        nouns = gather_without_gradient(batch.noun_tags.to(torch.uint8)).bool()
        return self.contrastive_loss(text, video, temperature, positives(verbs, nouns))

    def _encode_texts(
        self, batch: Batch, masked: MaskedText | None
    ) -> tuple[TextOutput, Tensor | None]:
        """Of the M whole texts, and the tokens (N, L, D) of the masked ones."""
        if masked is None:
            return self.model.encode_text(batch.text_ids, batch.text_mask), None
        whole = len(batch.text_ids)
        both = self.model.encode_text(
            torch.cat([batch.text_ids, masked.ids]),
            torch.cat([batch.text_mask, batch.text_mask[: batch.anchors]]),
        )
        return TextOutput(both.tokens[:whole], both.pooled[:whole]), both.tokens[whole:]

    def _fuse(
        self,
        video: VideoOutput,
        text: TextOutput,
        pairs: MatchPairs | None,
        masked_tokens: Tensor | None,
        batch: Batch,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Fused tokens of the pairs to match (n, L, D), and of the masked texts (N, L, D)."""
        anchors = torch.arange(batch.anchors, device=video.tokens.device)
        tokens, masks, videos = [], [], []
        if pairs is not None:
            tokens.append(text.tokens[pairs.text_index])
            masks.append(batch.text_mask[pairs.text_index])
            videos.append(pairs.video_index)
        if masked_tokens is not None:
            tokens.append(masked_tokens)
            masks.append(batch.text_mask[anchors])
            videos.append(anchors)
        if not tokens:
            return None, None
        fused = self.model.fuse(
            torch.cat(tokens), torch.cat(masks), video.tokens, torch.cat(videos)
        )
        matched = 0 if pairs is None else len(pairs.label)
        return fused[:matched], fused[matched:]
