"""Numba kernels: arrays in, arrays out. Nothing here knows of tensors, graphs or layers."""
