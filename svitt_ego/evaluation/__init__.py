"""What a trained model can do, measured on published benchmarks."""
