"""Metadata, clips and text: from an EgoClip table and mp4 files to batches."""
