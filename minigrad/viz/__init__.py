"""Pictures of computation graphs and of training."""
