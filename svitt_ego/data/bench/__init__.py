"""`make bench-data`: the data path at EgoClip's scale, beside EgoVLP's way of doing the same."""
