"""The paper's tables on EgoSynth: which runs there are, making each once, and what they show."""
