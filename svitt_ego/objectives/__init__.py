"""Training objectives: pure functions of tensors. Every random choice takes a seed."""

from svitt_ego.objectives.contrastive import egonce, infonce, positives
from svitt_ego.objectives.gather import gather_with_gradient, gather_without_gradient
from svitt_ego.objectives.mlm import MaskedText, mask_tokens
from svitt_ego.objectives.vtm import MatchPairs, draw_hard_negatives, draw_match_pairs, vtm_loss

__all__ = [
    "MaskedText",
    "MatchPairs",
    "draw_hard_negatives",
    "draw_match_pairs",
    "egonce",
    "gather_with_gradient",
    "gather_without_gradient",
    "infonce",
    "mask_tokens",
    "positives",
    "vtm_loss",
]
