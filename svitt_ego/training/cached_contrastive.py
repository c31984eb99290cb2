"""The contrastive loss of a whole step with the memory of one micro-batch.

Adding up the losses of micro-batches is not the loss of the large batch: each clip would be told
from those of its micro-batch alone. So all features of a step are computed first, without graph;
the loss over them and its gradients by the features are taken; then each micro-batch is computed
again, with graph, and its features' gradients are sent back. Gao et al., *Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup* (2021), "GradCache".

The two passes draw the same dropout, as `Draws` seeds both alike.

A: micro-batches; M: clips of a micro-batch; P: width of the features; W: ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from svitt_ego.objectives import gather_without_gradient, positives

ContrastiveLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Text and video features (n, P), temperature, positives (n, n) bool -> scalar."""


class Features(NamedTuple):
    """Of a micro-batch, without graph: text and video (M, P), verb_tags and noun_tags (M, classes)
    bool; temperature is a scalar."""

    text: Tensor
    video: Tensor
    verb_tags: Tensor
    noun_tags: Tensor
    temperature: Tensor


@dataclass(frozen=True)
class CachedContrastive:
    """What a micro-batch needs to know of the step's loss: its value, and the gradients by the
    micro-batch's features (M, P) and by the temperature."""

    loss: Tensor
    of_text: Tensor
    of_video: Tensor
    of_temperature: Tensor

    def through(self, text: Tensor, video: Tensor, temperature: Tensor) -> Tensor:
        """A scalar with the value of the step's loss, whose gradients by this micro-batch's
        features are that loss's."""
        sent = (
            (text.to(self.of_text.dtype) * self.of_text).sum()
            + (video.to(self.of_video.dtype) * self.of_video).sum()
            + temperature * self.of_temperature
        )
        return self.loss + sent - sent.detach()


def cache_contrastive(
    micro_batches: Sequence[Features], loss_of: ContrastiveLoss
) -> list[CachedContrastive]:
    """The loss over all micro-batches of all ranks, for each micro-batch of this rank.

    DeepSpeed takes the mean of the gradients over A micro-batches and W ranks, each of which sends
    back its own features' part: hence the factor A * W. The temperature's whole gradient is sent by
    each, so its mean is right as it is.
    """
    parts = [len(features.text) for features in micro_batches]
    text = _everywhere([features.text for features in micro_batches])
    video = _everywhere([features.video for features in micro_batches])
    precision = torch.promote_types(text.dtype, torch.float32)
    text, video = (x.to(precision).requires_grad_() for x in (text, video))
    temperature = micro_batches[0].temperature.detach().clone().requires_grad_()
    verbs = _everywhere([features.verb_tags.to(torch.uint8) for features in micro_batches])
    nouns = _everywhere([features.noun_tags.to(torch.uint8) for features in micro_batches])
    with torch.enable_grad():
        loss = loss_of(text, video, temperature, positives(verbs.bool(), nouns.bool()))
        of_text, of_video, of_temperature = torch.autograd.grad(loss, (text, video, temperature))
    rank, world_size = _rank_and_world_size()
    own = slice(rank * sum(parts), (rank + 1) * sum(parts))
    factor = len(parts) * world_size
    return [
        CachedContrastive(loss.detach(), t * factor, v * factor, of_temperature)
        for t, v in zip(of_text[own].split(parts), of_video[own].split(parts), strict=True)
    ]


def _everywhere(parts: Sequence[Tensor]) -> Tensor:
    return gather_without_gradient(torch.cat(list(parts)))


def _rank_and_world_size() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
