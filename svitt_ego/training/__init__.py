"""The training run: DeepSpeed engine, step, loop, checkpoints, records."""
