"""Attention over video tokens: dense or block-sparse, with a 3-D relative position bias."""

from svitt_ego.models.attention.attention import attention
from svitt_ego.models.attention.pattern import draw_pattern, draw_patterns
from svitt_ego.models.attention.position import position_codes, table_rows

__all__ = ["attention", "draw_pattern", "draw_patterns", "position_codes", "table_rows"]
