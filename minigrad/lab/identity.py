"""What the bits of a run depend on. A checkpoint is continued only if all of it is as it was when it was written."""

import hashlib
import platform
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import threadpoolctl
from llvmlite import binding

import minigrad
from minigrad.data import Splits


def identity(recipe: Any, norm: str, seed: int, data: Splits) -> dict[str, str]:
    """Everything that decides the bits of a run, in words: the name of each part, and its value.

    The threads and the kind of the matrix product's library belong to it: they decide in which order a product is
    added up.
    """
    pools = threadpoolctl.threadpool_info()
    products = {
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')} {pool['num_threads']} threads"
        for pool in pools
        if pool["user_api"] == "blas"
    }
    parts = {
        "norm": norm,
        "seed": seed,
        **asdict(recipe),
        "data": f"{data.name}, {fingerprint(data)}",
        "minigrad": f"{minigrad.__version__}, {code()}",
        "numpy": np.__version__,
        "numba": numba.__version__,
        "processor": f"{platform.machine()} {binding.get_host_cpu_name()}",
        "matrix products": ", ".join(sorted(products)),
    }
    return {name: str(value) for name, value in parts.items()}


def fingerprint(data: Splits) -> str:
    """A short hash of all samples and labels."""
    found = hashlib.blake2b(digest_size=8)
    found.update(repr(data.classes).encode(errors="surrogatepass"))
    for part in data:
        for tensor in part.tensors:
            array = np.ascontiguousarray(tensor.numpy())
            found.update(f"{array.dtype} {array.shape} ".encode())
            found.update(array.data if array.size else b"")
    return found.hexdigest()


@cache
def code() -> str:
    """A short hash of minigrad's source: a changed rule or kernel may change the bits of a run."""
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(minigrad.__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()
