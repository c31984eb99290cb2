"""Temporal grounding in small: what `make nlq` runs, from raw video to a score and its floors."""
