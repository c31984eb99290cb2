"""Masked language modelling: which words stood in the gaps, given the rest and the video?

Shapes: N texts of L tokens, n masked places, V vocabulary entries. Source: BERT (Devlin et al.,
2019) for the masking, ALBEF and SViTT for its use with the fusion encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    seed: int | Sequence[int],
) -> MaskedText:
    """Choose each token with `probability`; of the chosen 80% become [MASK], 10% a random entry of
    the vocabulary, 10% stay.

    Never chosen: padding and `special_token_ids`. Pass the tokenizer's `all_special_ids`, as BERT
    does. ALBEF and SViTT choose [SEP] too; it ends every text, so there is nothing to learn from
    it.

    Args:
        ids: (N, L) int64.
        attention_mask: (N, L), 0 at padding.
        seed: the same seed and shape give the same choices, on every device.
    """
    assert ids.shape == attention_mask.shape, (ids.shape, attention_mask.shape)
    random = default_rng(seed)
    shape = tuple(ids.shape)
    chosen, kind, replacement = (
        torch.from_numpy(draw).to(ids.device)
        for draw in (
            random.random(shape) < probability,
            random.random(shape),
            random.integers(vocabulary_size, size=shape),
        )
    )
    special = torch.tensor(list(special_token_ids), dtype=ids.dtype, device=ids.device)
    chosen &= attention_mask.bool() & ~torch.isin(ids, special)
    masked = ids.masked_fill(chosen & (kind < 0.8), mask_token_id)
    masked = torch.where(chosen & (kind >= 0.9), replacement, masked)
    positions = chosen.flatten().nonzero().flatten()
    return MaskedText(masked, positions, ids.flatten()[positions])
