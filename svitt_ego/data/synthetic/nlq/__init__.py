"""EgoSynth-NLQ: long videos of many tables, and questions about when something was done."""
