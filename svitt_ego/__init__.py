"""svitt-ego: memory-optimised training of SViTT-Ego, a sparse video-text transformer."""

__version__ = "0.1.0"
