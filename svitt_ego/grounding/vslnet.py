"""VSLNet (Zhang et al., ACL 2020): grounding as the answer span of reading comprehension.

The clip is averaged down to a few positions. Each says how likely the answer begins there, and how
likely it ends there. Deliberately not theirs: sinusoidal instead of learned positions.

B: rows; T: feature windows; P: positions; L: text tokens; D: width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.grounding import Decoding, GroundingModel
from svitt_ego.grounding.batch import GroundingBatch
from svitt_ego.grounding.masked_conv import MaskedConv
from svitt_ego.grounding.model import Grounder, GroundingLosses, Predictions, in_seconds
from svitt_ego.grounding.positions import sinusoidal_positions


@dataclass(frozen=True)
class SpanOutputs:
    start_logits: Tensor
    end_logits: Tensor
    highlight_logits: Tensor
    """All (B, P), the first two -inf where padded."""
    mask: Tensor
    """(B, P) bool."""
    steps: Tensor
    """(B,) feature steps that a position covers."""


class ConvEncoder(nn.Module):
    """Separable convolutions, self-attention and a linear layer, each with LayerNorm before it and
    a residual connection (QANet's encoder block)."""

    def __init__(self, width: int, heads: int, kernel: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers + 2))
        self.depthwise = nn.ModuleList(
            MaskedConv(width, width, kernel, groups=width, bias=False) for _ in range(layers)
        )
        self.pointwise = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, P, D), (B, P) -> (B, P, D), zero where padded."""
        length, width = x.shape[1:]
        x = x + sinusoidal_positions(length, width, length, x.device).to(x.dtype) * mask[..., None]
        *conv_norms, attention_norm, output_norm = self.norms
        parts = zip(conv_norms, self.depthwise, self.pointwise, strict=True)
        for norm, depthwise, pointwise in parts:
            convolved = depthwise(norm(x) * mask[..., None], mask)
            x = x + self.dropout(F.relu(pointwise(convolved)))
        h = attention_norm(x)
        attended, _ = self.attention(h, h, h, key_padding_mask=~mask, need_weights=False)
        x = x + self.dropout(attended)
        x = x + self.dropout(self.output(output_norm(x)))
        return x * mask[..., None]


class QueryAttention(nn.Module):
    """Each position of the video beside what it finds in the text, and what the text finds in the
    video (BiDAF's attention with a trilinear similarity)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_video = nn.Linear(width, 1, bias=False)
        self.of_text = nn.Linear(width, 1, bias=False)
        self.of_both = nn.Parameter(torch.full((width,), width**-0.5))
        self.output = nn.Linear(4 * width, width)
        self.pooling = nn.Linear(width, 1, bias=False)
        self.joined = nn.Linear(2 * width, width)

    def forward(self, video: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """(B, P, D), (B, P), (B, L, D), (B, L) -> (B, P, D)."""
        similarity = self.of_video(video) + self.of_text(text).mT + video * self.of_both @ text.mT
        lowest = torch.finfo(similarity.dtype).min
        to_text = similarity.masked_fill(~text_mask[:, None], lowest).softmax(2)  # (B, P, L)
        to_video = similarity.masked_fill(~mask[..., None], lowest).softmax(1)
        found = to_text @ text
        back = to_text @ (to_video.mT @ video)
        x = self.output(torch.cat([video, found, video * found, video * back], dim=-1))
        weights = self.pooling(text).masked_fill(~text_mask[..., None], lowest).softmax(1)
        sentence = (weights * text).sum(1, keepdim=True).expand_as(x)
        return self.joined(torch.cat([x, sentence], dim=-1)) * mask[..., None]


class VSLNet(Grounder):
    """See the module."""

    loss_names = ("start", "end", "highlight")

    def __init__(self, recipe: GroundingModel) -> None:
        super().__init__()
        span, width = recipe.span, recipe.width
        self.recipe = recipe
        encoder = (width, recipe.heads, span.kernel, span.convolutions, span.dropout)
        self.video = nn.Linear(recipe.video_width, width)
        self.text = nn.Linear(recipe.text_width, width)
        self.encoder = ConvEncoder(*encoder)
        self.attention = QueryAttention(width)
        self.highlight = nn.Linear(width, 1)
        self.predictor = ConvEncoder(*encoder)
        self.start, self.end = (
            nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
            for _ in range(2)
        )

    def forward(self, batch: GroundingBatch) -> SpanOutputs:
        video, mask, steps = average_down(batch.video, batch.video_mask, self.recipe.span.positions)
        video = self.encoder(self.video(video) * mask[..., None], mask)
        text_mask = batch.text_mask
        text = self.encoder(self.text(batch.text) * text_mask[..., None], text_mask)
        x = self.attention(video, mask, text, text_mask)
        highlight_logits = self.highlight(x)
        x = x * highlight_logits.sigmoid()
        of_start = self.predictor(x, mask)
        of_end = self.predictor(of_start, mask)  # the end is sought knowing the start
        start, end = (
            head(torch.cat([h, x], dim=-1))[..., 0].masked_fill(~mask, float("-inf"))
            for head, h in ((self.start, of_start), (self.end, of_end))
        )
        return SpanOutputs(start, end, highlight_logits[..., 0], mask, steps)

    def losses(self, outputs: SpanOutputs, batch: GroundingBatch) -> GroundingLosses:
        """Cross-entropy of the positions that hold start and end, and of being in the highlighted
        region, which is the window and a margin around it."""
        span = self.recipe.span
        start, end = positions_of(batch.spans, outputs)
        margin = span.highlight_margin * (end - start + 1)
        place = torch.arange(outputs.mask.shape[1], device=start.device)
        low, high = (start - margin)[:, None], (end + margin)[:, None]
        highlighted = ((place >= low) & (place <= high)).float()
        parts = {
            "start": F.cross_entropy(outputs.start_logits.float(), start),
            "end": F.cross_entropy(outputs.end_logits.float(), end),
            "highlight": span.highlight_weight
            * F.binary_cross_entropy_with_logits(
                outputs.highlight_logits.float()[outputs.mask], highlighted[outputs.mask]
            ),
        }
        return GroundingLosses(torch.stack(list(parts.values())).sum(), parts)

    @torch.no_grad()
    def predict(
        self, outputs: SpanOutputs, batch: GroundingBatch, decoding: Decoding
    ) -> list[Predictions]:
        """The likeliest pairs of a start and an end that is not before it."""
        starts = outputs.start_logits.float().softmax(1)
        ends = outputs.end_logits.float().softmax(1)
        joint = (starts[:, :, None] * ends[:, None]).triu()
        positions = joint.shape[1]
        predictions = []
        for row in range(len(batch.ids)):
            count = min(decoding.predictions, int((joint[row] > 0).sum()))
            scores, places = joint[row].flatten().topk(count)
            ends_at = torch.stack([places // positions, places % positions + 1], dim=1)
            # position p covers the steps from p * steps - 1/2 on, a step being a window's middle
            predictions.append(in_seconds(ends_at * outputs.steps[row] - 0.5, scores, batch, row))
        return predictions


def average_down(x: Tensor, mask: Tensor, positions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means over stretches of equal length, for each row of its own windows; a short row stays.

    Args:
        x: (B, T, E) with its mask (B, T), true on the left.

    Returns:
        (B, P, E) with P at most `positions`, its mask (B, P), and (B,) steps of a position.
    """
    windows = mask.sum(1)
    rows = windows.clamp(max=positions)
    place = torch.arange(x.shape[1], device=x.device) * rows[:, None] // windows[:, None]
    place = place.clamp(max=int(rows.max()) - 1)  # of padding, which adds nothing
    total = x.new_zeros(len(x), int(rows.max()), x.shape[2])
    total.scatter_add_(1, place[..., None].expand_as(x), x * mask[..., None])
    count = x.new_zeros(total.shape[:2]).scatter_add_(1, place, mask.to(x.dtype))
    kept = torch.arange(total.shape[1], device=x.device) < rows[:, None]
    return total / count.clamp(min=1)[..., None], kept, windows / rows


def positions_of(spans: Tensor, outputs: SpanOutputs) -> tuple[Tensor, Tensor]:
    """The positions that hold start and end of spans (B, 2) in steps, (B,) int64 each."""
    last = outputs.mask.sum(1) - 1
    at = (spans + 0.5) / outputs.steps[:, None]
    start = at[:, 0].floor().long().clamp(min=0).minimum(last)
    end = (at[:, 1].ceil().long() - 1).minimum(last).maximum(start)
    return start, end
