"""Datasets, loading them in batches, scalers and other transforms of their inputs."""

from minigrad.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, collate, random_split
from minigrad.data.datasets import Splits, load, names
from minigrad.data.loader import DataLoader
from minigrad.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from minigrad.data.scalers import DecimalScaler, LogTransform, MinMaxScaler, StandardScaler, Whitening
from minigrad.data.transforms import (
    Compose,
    Lambda,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShift,
    Transform,
)

__all__ = [
    "BatchSampler",
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DecimalScaler",
    "Lambda",
    "LogTransform",
    "MinMaxScaler",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomSampler",
    "RandomShift",
    "Sampler",
    "SequentialSampler",
    "Splits",
    "StandardScaler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "Transform",
    "WeightedRandomSampler",
    "Whitening",
    "collate",
    "load",
    "names",
    "random_split",
]
