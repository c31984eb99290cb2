"""`egoclip.csv`, converted once to columns that are opened by memory map."""

from svitt_ego.data.metadata.lines import LARGEST_TAG_ID, MalformedRow, MetadataError
from svitt_ego.data.metadata.table import ClipRow, ClipTable

__all__ = ["LARGEST_TAG_ID", "ClipRow", "ClipTable", "MalformedRow", "MetadataError"]
