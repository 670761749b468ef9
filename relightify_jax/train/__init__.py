"""Training: one loop, one step per model, sharded state, checkpoints, metrics."""
