"""Datasets, loading them in batches, and transforms of their inputs."""

from minigrad.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, collate, random_split
from minigrad.data.datasets import Splits, load, names
from minigrad.data.loader import DataLoader
from minigrad.data.transforms import (
    Compose,
    Lambda,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShift,
    Standardize,
    Transform,
)

__all__ = [
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Lambda",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomShift",
    "Splits",
    "Standardize",
    "Subset",
    "TensorDataset",
    "Transform",
    "collate",
    "load",
    "names",
    "random_split",
]
