"""Temporal grounding: where in a clip the answer to a query in natural language is seen."""
