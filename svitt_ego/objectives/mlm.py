"""Masked language modelling: which words stood in the gaps, given the rest and the video?

Shapes: N texts of L tokens, n masked places, V vocabulary entries. Source: BERT (Devlin et al.,
2019) for the masking, ALBEF and SViTT for its use with the fusion encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import default_rng
from torch import Tensor


@dataclass(frozen=True)
class MaskedText:
    """ids: (N, L) int64 with masked places changed; positions: (n,) int64, the masked places as
    indices into the N * L flattened tokens, rising; labels: (n,) int64, what stood there."""

    ids: Tensor
    positions: Tensor
    labels: Tensor


@torch.no_grad()
def mask_tokens(
    ids: Tensor,
    attention_mask: Tensor,
    special_token_ids: Sequence[int],
    mask_token_id: int,
    vocabulary_size: int,
    probability: float,
    seeds: Sequence[int | Sequence[int]],
) -> MaskedText:
    """Choose each token with `probability`; of the chosen 80% become [MASK], 10% a random entry of
    the vocabulary, 10% stay.

    Never chosen: padding and `special_token_ids`. Pass the tokenizer's `all_special_ids`, as BERT
    does. ALBEF and SViTT choose [SEP] too; it ends every text, so there is nothing to learn from
    it.

    Args:
        ids: (N, L) int64.
        attention_mask: (N, L), 0 at padding.
        seeds: one a text. A text's choices depend on its seed and its words alone, not on the
            batch it is in, how far that is padded, or the device.
    """
    assert ids.shape == attention_mask.shape, (ids.shape, attention_mask.shape)
    assert len(seeds) == len(ids), (len(seeds), len(ids))
    length = ids.shape[1]
    # token by token, so that a longer text begins with a shorter one's draws
    draws = np.stack([default_rng(seed).random((length, 3)) for seed in seeds])
    uniform, kind, word = torch.from_numpy(draws).to(ids.device).unbind(dim=2)
    chosen = uniform < probability
    replacement = (word * vocabulary_size).long()
    special = torch.tensor(list(special_token_ids), dtype=ids.dtype, device=ids.device)
    chosen &= attention_mask.bool() & ~torch.isin(ids, special)
    masked = ids.masked_fill(chosen & (kind < 0.8), mask_token_id)
    masked = torch.where(chosen & (kind >= 0.9), replacement, masked)
    positions = chosen.flatten().nonzero().flatten()
    return MaskedText(masked, positions, ids.flatten()[positions])
