"""Frames of a clip from the files of its video: exactly the wanted ones, or a `VideoError`."""
