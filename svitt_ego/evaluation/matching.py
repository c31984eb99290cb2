"""The fusion encoder's judgement of many (text, clip) pairs, clip by clip as these are embedded.

The tokens of all clips would not fit in memory, so the pairs of a clip are scored while its tokens
are there: a clip is encoded once however many texts it is held against.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from svitt_ego.data.text import encode_texts
from svitt_ego.models import SViTTEgo

_PAIRS_AT_ONCE = 128


class MatchingEmbedder:
    """Embeds clips, and collects the probability that each matches its texts."""

    def __init__(
        self,
        model: SViTTEgo,
        tokenizer: PreTrainedTokenizerBase,
        max_text_tokens: int,
        texts: Sequence[str],
        texts_of_clip: Mapping[int, Sequence[int]],
    ) -> None:
        """
        Args:
            texts_of_clip: for the index of a clip the indices of the texts to hold it against.
        """
        self._model = model.eval()
        self._device = next(model.parameters()).device
        self._tokenizer = tokenizer
        self._max_text_tokens = max_text_tokens
        self._texts = texts
        self._texts_of_clip = texts_of_clip
        self.probabilities: dict[tuple[int, int], float] = {}
        """By text and clip: softmax over the match head's classes, column "matched" (VTM)."""

    @torch.inference_mode()
    def __call__(self, video: Tensor, clips: Sequence[int]) -> Tensor:
        """(B, T, 3, H, W) uint8 and the clips' indices -> projected features (B, P)."""
        encoded = self._model.encode_video(video.to(self._device))
        pairs = [
            (text, clip, place)
            for place, clip in enumerate(clips)
            for text in self._texts_of_clip.get(clip, ())
        ]
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            self._score(pairs[start : start + _PAIRS_AT_ONCE], encoded.tokens)
        return self._model.project_video(encoded.pooled)

    def _score(self, pairs: Sequence[tuple[int, int, int]], video_tokens: Tensor) -> None:
        model, device = self._model, self._device
        texts = list(dict.fromkeys(text for text, _, _ in pairs))
        place_of = {text: place for place, text in enumerate(texts)}
        ids, mask = encode_texts(
            self._tokenizer, [self._texts[text] for text in texts], self._max_text_tokens
        )
        mask = mask.to(device)
        text_tokens = model.encode_text(ids.to(device), mask).tokens
        text_index = torch.tensor([place_of[text] for text, _, _ in pairs], device=device)
        video_index = torch.tensor([place for _, _, place in pairs], device=device)
        fused = model.fuse(text_tokens[text_index], mask[text_index], video_tokens, video_index)
        matched = model.match_logits(fused).float().softmax(dim=1)[:, 1].tolist()
        self.probabilities |= {
            (text, clip): probability
            for (text, clip, _), probability in zip(pairs, matched, strict=True)
        }
