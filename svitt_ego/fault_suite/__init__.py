"""Injected faults: what a training must survive, done to real runs through the launcher."""
