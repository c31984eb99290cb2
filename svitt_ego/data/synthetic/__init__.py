"""EgoSynth: a first-person action dataset generated from a seed, in the formats of EgoClip."""
