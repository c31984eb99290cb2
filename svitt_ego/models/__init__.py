"""The SViTT-Ego model: sparse video encoder, text encoder, fusion encoder."""

from svitt_ego.models.svitt import SViTTEgo

__all__ = ["SViTTEgo"]
