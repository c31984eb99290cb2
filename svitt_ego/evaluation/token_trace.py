"""Which patches of a clip the model keeps, and what its [CLS] tokens attend to.

Watches the model's own forward pass: what is shown is what was computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from svitt_ego.data.text import encode_texts
from svitt_ego.models import SViTTEgo
from svitt_ego.models.node_strategies import reduce_tokens
from svitt_ego.models.token_drop import keep_count


@dataclass(frozen=True)
class Stage:
    """Patches, frame by frame and row by row: kept (T, rows, columns) bool; attention of the same
    shape, 0 where there is no patch any more, or None where the stage is a drop."""

    title: str
    kept: Tensor
    attention: Tensor | None = None


@dataclass(frozen=True)
class TokenTrace:
    """frames: (T, 3, H, W) uint8, as the model sees them."""

    frames: Tensor
    text: str
    stages: tuple[Stage, ...]


@torch.inference_mode()
def trace_tokens(
    model: SViTTEgo,
    tokenizer: PreTrainedTokenizerBase,
    max_text_tokens: int,
    video: Tensor,
    text: str,
) -> TokenTrace:
    """
    Args:
        video: (T, 3, H, W) uint8, one clip.
    """
    model.eval()
    device = next(model.parameters()).device
    grid = (len(video), model.recipe.video.grid_size, model.recipe.video.grid_size)
    everything = torch.arange(grid[0] * grid[1] * grid[2])

    with _Scores(model.video.layers[-1:], asked=True) as seen_by_cls:
        encoded = model.encode_video(video[None].to(device))
    drops = [positions[0].cpu() for positions in encoded.kept]
    node = model.recipe.video.node_sparsity
    dropping = sorted(node.layers) if node else []
    stages = [
        Stage(f"layer {layer} keeps {len(kept)} of {len(everything)}", _mask(kept, grid))
        for layer, kept in zip(dropping, drops, strict=True)
    ]
    last = len(model.video.layers) - 1
    entering = [kept for layer, kept in zip(dropping, drops, strict=True) if layer < last]
    present = entering[-1] if entering else everything
    stages.append(_attention("[CLS] attends to", present, seen_by_cls.scores[0], grid))

    ids, mask = (tensor.to(device) for tensor in encode_texts(tokenizer, [text], max_text_tokens))
    text_tokens = model.encode_text(ids, mask).tokens
    with _Scores(model.fusion.layers) as seen_by_text:
        model.fuse(text_tokens, mask, encoded.tokens)
    present = drops[-1] if drops else everything
    stages += _fusion_stages(model, present, seen_by_text, grid)
    return TokenTrace(video, text, tuple(stages))


def _fusion_stages(
    model: SViTTEgo, present: Tensor, seen: "_Scores", grid: tuple[int, int, int]
) -> list[Stage]:
    """The text's attention in the first layer, and each drop."""
    scores = [of_layer[:, 1:] for of_layer in seen.scores]
    stages = [_attention("the text attends to", present, scores[0], grid)]
    node, sizes = model.recipe.fusion.node_sparsity, None
    for layer, of_layer in enumerate(scores[:-1]):
        if node is not None and layer in node.layers:
            keep = keep_count(of_layer.shape[1], node.keep_rate)
            video_tokens = seen.inputs[layer][2]
            reduction = reduce_tokens(
                node.strategy, video_tokens, keep, cls_scores=of_layer, sizes=sizes
            )
            sizes = reduction.sizes
            present = present[reduction.kept[0].cpu()]
            title = f"fusion layer {layer} keeps {len(present)}"
            stages.append(Stage(title, _mask(present, grid)))
    return stages


def _attention(title: str, present: Tensor, scores: Tensor, grid: tuple[int, int, int]) -> Stage:
    """Scores (1, K) of the patches at positions `present`."""
    attention = torch.zeros(grid).flatten()
    attention[present] = scores[0].float().cpu()
    return Stage(title, _mask(present, grid), attention.view(grid))


def _mask(positions: Tensor, grid: tuple[int, int, int]) -> Tensor:
    mask = torch.zeros(grid, dtype=torch.bool).flatten()
    mask[positions] = True
    return mask.view(grid)


class _Scores:
    """While open, collects what layers are given and the [CLS] scores they return, in the order of
    their calls."""

    def __init__(self, layers: Sequence[torch.nn.Module], asked: bool = False) -> None:
        """
        Args:
            asked: a video layer returns scores only where its last argument asks for them.
        """
        self._layers = layers
        self._asked = asked
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.inputs: list[tuple[Tensor, ...]] = []
        self.scores: list[Tensor] = []

    def _note(self, _: torch.nn.Module, given: tuple[Tensor, ...], returned: tuple) -> None:
        self.inputs.append(given)
        self.scores.append(returned[1])

    def __enter__(self) -> "_Scores":
        for layer in self._layers:
            if self._asked:
                ask = layer.register_forward_pre_hook(lambda _, given: (*given[:-1], True))
                self._handles.append(ask)
            self._handles.append(layer.register_forward_hook(self._note))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
