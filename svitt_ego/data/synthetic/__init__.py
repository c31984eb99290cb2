"""EgoSynth: a first-person video-text dataset generated from a seed."""
