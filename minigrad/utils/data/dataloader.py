"""`DataLoader`, where PyTorch has it."""

from minigrad.data.dataset import collate as default_collate
from minigrad.data.loader import DataLoader

__all__ = ["DataLoader", "default_collate"]
