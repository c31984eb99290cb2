"""Commands of the project side by side, for tables of many small models."""
