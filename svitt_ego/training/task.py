"""The pre-training task: the model and its objectives as one module, batch in, losses out.

N: anchors of this rank; M: clips of this rank, N or 2N with scene-aware negatives.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from svitt_ego.config.schema import Objectives
from svitt_ego.data.batch import Batch
from svitt_ego.models.svitt import SViTTEgo
from svitt_ego.models.text_encoder import TextOutput
from svitt_ego.models.video_encoder import VideoOutput
from svitt_ego.objectives import (
    draw_match_pairs,
    egonce,
    gather_with_gradient,
    gather_without_gradient,
    infonce,
    mask_tokens,
    positives,
    vtm_loss,
)
from svitt_ego.training.draws import MASKING, MATCHING, Draws


@dataclass(frozen=True)
class SpecialTokens:
    """Ids the masking needs to know."""

    special: tuple[int, ...]
    mask: int


@dataclass(frozen=True)
class Losses:
    """Scalars. total is the weighted sum; an objective of weight 0 is None."""

    total: Tensor
    contrastive: Tensor | None
    vtm: Tensor | None
    mlm: Tensor | None

    def detached(self) -> "Losses":
        """Values alone, without the graph that made them."""
        values = (self.total, self.contrastive, self.vtm, self.mlm)
        return Losses(*(None if value is None else value.detach() for value in values))


class PretrainingTask(nn.Module):
    def __init__(self, model: SViTTEgo, objectives: Objectives, tokens: SpecialTokens) -> None:
        super().__init__()
        self.model = model
        self.objectives = objectives
        self.tokens = tokens

    def forward(self, batch: Batch, draws: Draws) -> Losses:
        """One micro-batch of one rank. The contrastive loss is over the clips of all ranks."""
        model, objectives = self.model, self.objectives
        draws.seed_torch()
        patterns = model.video.patterns(batch.video.shape[1], draws.seed, draws.step)
        video = model.encode_video(batch.video, patterns)
        text = model.encode_text(batch.text_ids, batch.text_mask)

        video_features = model.project_video(video.pooled)
        text_features = model.project_text(text.pooled)
        temperature = model.temperature()
        parts: dict[str, Tensor | None] = {"contrastive": None, "vtm": None, "mlm": None}
        if objectives.contrastive.weight:
            parts["contrastive"] = self._contrastive(
                text_features, video_features, temperature, batch
            )
        if objectives.vtm.weight:
            scores = text_features.detach() @ video_features.detach().T / temperature.detach()
            parts["vtm"] = self._matching(video, text, scores, batch, draws)
        if objectives.mlm.weight:
            parts["mlm"] = self._masked_language(video, batch, draws)
        total = torch.stack(
            [
                getattr(objectives, name).weight * loss
                for name, loss in parts.items()
                if loss is not None
            ]
        ).sum()
        return Losses(total, **parts)

    def _contrastive(
        self, text: Tensor, video: Tensor, temperature: Tensor, batch: Batch
    ) -> Tensor:
        text, video = gather_with_gradient(text), gather_with_gradient(video)
        if self.objectives.contrastive.name == "infonce":
            return infonce(text, video, temperature)
        verbs = gather_without_gradient(batch.verb_tags.to(torch.uint8)).bool()
        nouns = gather_without_gradient(batch.noun_tags.to(torch.uint8)).bool()
        return egonce(text, video, temperature, positives(verbs, nouns))

    def _matching(
        self, video: VideoOutput, text: TextOutput, scores: Tensor, batch: Batch, draws: Draws
    ) -> Tensor:
        positive_mask = positives(batch.verb_tags, batch.noun_tags)
        pairs = draw_match_pairs(scores, positive_mask, batch.anchors, draws.of(MATCHING))
        fused = self.model.fuse(
            text.tokens[pairs.text_index],
            batch.text_mask[pairs.text_index],
            video.tokens,
            pairs.video_index,
        )
        return vtm_loss(self.model.match_logits(fused), pairs.label)

    def _masked_language(self, video: VideoOutput, batch: Batch, draws: Draws) -> Tensor:
        anchors = slice(batch.anchors)
        mask = batch.text_mask[anchors]
        masked = mask_tokens(
            batch.text_ids[anchors],
            mask,
            self.tokens.special,
            self.tokens.mask,
            self.model.recipe.text.vocabulary_size,
            self.objectives.mlm.mask_probability,
            draws.of(MASKING),
        )
        text = self.model.encode_text(masked.ids, mask)
        fused = self.model.fuse(text.tokens, mask, video.tokens[anchors])
        hidden = fused.flatten(0, 1)[masked.positions]
        return self.model.mlm_loss(hidden, masked.labels)
