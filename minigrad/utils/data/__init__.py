"""`minigrad.data` under PyTorch's names, so that programs run after nothing but the change of the import."""

from minigrad.data import *  # noqa: F403
from minigrad.data import collate as default_collate
from minigrad.utils.data import dataloader, dataset, sampler

__all__ = ["dataloader", "dataset", "default_collate", "get_worker_info", "sampler"]


def get_worker_info() -> None:
    """None: batches are loaded in this process, by no worker."""
