"""Videos made ready for random access: small, of constant frame rate, with many key frames."""
