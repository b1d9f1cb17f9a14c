"""PyTorch's place for loading data: `minigrad.utils.data` has what is in `minigrad.data`."""

from minigrad.utils import data

__all__ = ["data"]
