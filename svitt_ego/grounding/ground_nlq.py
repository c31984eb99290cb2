"""GroundNLQ (Hou et al., 2023): text and video meet in a stem, and every point of a pyramid of time
says whether it answers the query and how far the ends of its window are.

B: rows; T: positions of a level; P: points of all levels; L: text tokens; D: width.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from svitt_ego.config.grounding import Decoding, GroundingModel
from svitt_ego.grounding.batch import GroundingBatch
from svitt_ego.grounding.heads import PointHeads
from svitt_ego.grounding.layer import GroundingLayer
from svitt_ego.grounding.masked_conv import MaskedConv
from svitt_ego.grounding.model import Grounder, GroundingLosses, Predictions, in_seconds
from svitt_ego.grounding.points import Points, assign, pyramid_points
from svitt_ego.grounding.positions import sinusoidal_positions
from svitt_ego.grounding.soft_nms import soft_nms, vote
from svitt_ego.grounding.spans import diou_loss

_MOMENTUM = 0.9
"""Of the running count of positive points."""
_SHORTEST_SPAN_STEPS = 1e-3


@dataclass(frozen=True)
class PointOutputs:
    logits: Tensor
    """(B, P): does the point answer the query?"""
    distances: Tensor
    """(B, P, 2) to start and end of its window, in strides of the point, 0 or more."""
    mask: Tensor
    """(B, P) bool: the point is within the clip."""
    points: Points


class Projection(nn.Module):
    """Features to the model's width: convolutions, each with LayerNorm and ReLU."""

    def __init__(self, inputs: int, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            MaskedConv(width if layer else inputs, width, kernel, bias=False)
            for layer in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, inputs), (B, T) -> (B, T, D)."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x, mask))) * mask[..., None]
        return x


class GroundNLQ(Grounder):
    """See the module. Padding changes nothing, and a clip may have any number of windows."""

    loss_names = ("classification", "regression")

    def __init__(self, recipe: GroundingModel) -> None:
        super().__init__()
        pyramid, width = recipe.pyramid, recipe.width
        self.recipe = recipe
        shared = {
            "width": width,
            "heads": recipe.heads,
            "layer_scale": pyramid.layer_scale,
            "drop_path": recipe.drop_path,
        }
        local = shared | {"window": pyramid.window}
        levels = len(pyramid.regression_ranges)
        inputs = recipe.video_width * (2 if pyramid.query_product else 1)
        self.video = Projection(inputs, width, pyramid.projection_layers, kernel=3)
        self.text = Projection(recipe.text_width, width, pyramid.projection_layers, kernel=1)
        self.text_layers = nn.ModuleList(
            GroundingLayer(**shared) for _ in range(pyramid.text_layers)
        )
        self.stem = nn.ModuleList(
            GroundingLayer(**local, cross_attention=True) for _ in range(pyramid.stem_layers)
        )
        self.branch = nn.ModuleList(
            GroundingLayer(**local, stride=2, cross_attention=pyramid.cross_attention)
            for _ in range(levels - 1)
        )
        self.level_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(levels))
        _zero_linear_biases(self)
        self.heads = PointHeads(width, levels, pyramid.head_layers)
        self.register_buffer("running_positives", torch.tensor([pyramid.initial_positives]))

    def forward(self, batch: GroundingBatch) -> PointOutputs:
        pyramid = self.recipe.pyramid
        text = self.text(batch.text, batch.text_mask)
        for layer in self.text_layers:
            text = layer(text, batch.text_mask)
        mask = batch.video_mask
        x = batch.video
        if pyramid.query_product:
            x = beside_query_product(x, batch.text[:, 0])
        x = self.video(x, mask)
        x = x + self._positions(x) * mask[..., None]
        for layer in self.stem:
            x = layer(x, mask, text, batch.text_mask)
        levels, masks = [x], [mask]
        for layer in self.branch:
            x = layer(x, mask, text, batch.text_mask)
            mask = mask[:, ::2]
            levels.append(x)
            masks.append(mask)
        normed = [
            norm(level) * mask[..., None]
            for norm, level, mask in zip(self.level_norms, levels, masks, strict=True)
        ]
        logits, distances = self.heads(normed, masks)
        points = pyramid_points(batch.video.shape[1], pyramid.regression_ranges, x.device)
        return PointOutputs(logits, distances, torch.cat(masks, dim=1), points)

    def losses(self, outputs: PointOutputs, batch: GroundingBatch) -> GroundingLosses:
        """Focal loss (Lin et al., 2017) over all points, distance-IoU loss over the positive ones,
        both divided by the running count of positives: a batch of few would else weigh too much.

        In training the count moves on, the same on all ranks.
        """
        pyramid = self.recipe.pyramid
        targets = assign(outputs.points, batch.spans, pyramid.centre_radius)
        positive = targets.positive & outputs.mask
        if self.training:
            self._count(positive.sum())
        smoothing = pyramid.label_smoothing
        wanted = positive[outputs.mask].float() * (1 - smoothing) + smoothing / 2
        logits = outputs.logits[outputs.mask].float()
        focal = sigmoid_focal_loss(logits, wanted, reduction="sum")
        # distances, not spans: a span of 3000 steps would leave fp16 no digits for its ends
        ends = torch.tensor([-1.0, 1.0], device=logits.device)
        regression = diou_loss(
            outputs.distances[positive].float() * ends, targets.distances[positive].float() * ends
        ).sum()
        count = self.running_positives[0].clone()  # the next batch moves it before this backward
        parts = {"classification": focal / count, "regression": regression / count}
        return GroundingLosses(parts["classification"] + parts["regression"], parts)

    @torch.no_grad()
    def predict(
        self, outputs: PointOutputs, batch: GroundingBatch, decoding: Decoding
    ) -> list[Predictions]:
        """The best points of each level, soft-NMS over all levels, voting."""
        spans = outputs.points.spans(outputs.distances.float())
        scores = outputs.logits.float().sigmoid() * outputs.mask
        scores = scores.where(spans[..., 1] - spans[..., 0] > _SHORTEST_SPAN_STEPS, 0.0)
        predictions = []
        for row in range(len(batch.ids)):
            best = _best_of_levels(scores[row], outputs.points, decoding)
            candidates, of_candidates = spans[row, best], scores[row, best]
            kept, kept_scores = soft_nms(
                candidates,
                of_candidates,
                decoding.nms_sigma,
                decoding.min_score,
                decoding.predictions,
            )
            if decoding.voting_iou is not None and len(kept):
                kept = vote(kept, candidates, of_candidates, decoding.voting_iou)
            predictions.append(in_seconds(kept, kept_scores, batch, row))
        return predictions

    def figures(self) -> dict[str, float]:
        return {"running_positives": float(self.running_positives)}

    def _apply(self, function: Any, recurse: bool = True) -> "GroundNLQ":
        """To another device or precision: the running count stays in fp32, whose digits it needs to
        move by small amounts."""
        count = self.running_positives
        super()._apply(function, recurse)
        self.running_positives = count.to(self.running_positives.device)
        return self

    def _positions(self, x: Tensor) -> Tensor:
        table = sinusoidal_positions(
            x.shape[1], self.recipe.width, self.recipe.max_windows, x.device
        )
        return table.to(x.dtype)

    @torch.no_grad()
    def _count(self, positives: Tensor) -> None:
        positives = positives.to(self.running_positives)
        if dist.is_initialized():
            dist.all_reduce(positives)
            positives = positives / dist.get_world_size()
        self.running_positives.lerp_(positives.clamp(min=1), 1 - _MOMENTUM)


def beside_query_product(video: Tensor, query: Tensor) -> Tensor:
    """Each window's features beside their products with the query's, whose sum is the cosine of
    window and query: (B, T, E), (B, E) -> (B, T, 2E).

    Of unit vectors a component is about E^-1/2 and a product of two E^-1, so both are brought to
    about 1.
    """
    width = video.shape[-1]
    return torch.cat([video * width**0.5, video * query[:, None] * width], dim=-1)


def _best_of_levels(scores: Tensor, points: Points, decoding: Decoding) -> Tensor:
    """Indices of the candidates: the best of each level, of those above the smallest score."""
    best = []
    for stride in points.stride.unique():
        of_level = ((points.stride == stride) & (scores > decoding.min_score)).nonzero()[:, 0]
        count = min(decoding.candidates_per_level, len(of_level))
        best.append(of_level[scores[of_level].topk(count).indices])
    return torch.cat(best)


def _zero_linear_biases(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
