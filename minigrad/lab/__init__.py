"""Experiments: the same network trained with and without each normalization, measured and reported."""
