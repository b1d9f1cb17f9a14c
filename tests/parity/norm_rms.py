"""Normalizations that divide by a length and that PyTorch has: RMS norm, normalize, cosine similarity."""

from typing import Any

import numpy as np

from tests.parity.case import Case, ModuleCase, constant, distinct, normal, transposed


def rms_norm(shape: Any, **options: Any) -> Any:
    return lambda lib, x, *weight: lib.nn.functional.rms_norm(x, shape, *weight, **options)


def normalize(**options: Any) -> Any:
    return lambda lib, x: lib.nn.functional.normalize(x, **options)


def cosine(**options: Any) -> Any:
    return lambda lib, x, y: lib.nn.functional.cosine_similarity(x, y, **options)


ZEROS = constant(np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 2.0]]))

CASES = [
    # The default ε is that of the dtype: what one golden value for both dtypes cannot be right for is tested by size.
    Case("rms_norm", rms_norm((5,)), normal(4, 5), normal(5), second=True),
    Case("rms_norm_eps", rms_norm((5,), eps=0.3), normal(4, 5), normal(5), second=True),
    Case("rms_norm_plain", rms_norm((5,), eps=0.3), normal(2, 3, 5), second=True),
    Case("rms_norm_two_axes", rms_norm((3, 4), eps=0.3), normal(2, 3, 4), normal(3, 4), second=True),
    Case("rms_norm_all_axes", rms_norm((3, 4), eps=0.3), normal(3, 4), normal(3, 4)),
    Case("rms_norm_transposed", rms_norm((4,), eps=0.3), transposed(normal(4, 3)), normal(4)),
    Case("rms_norm_one_element", rms_norm((1,), eps=0.3), normal(4, 1), normal(1)),
    Case("rms_norm_zeros", rms_norm((3,), eps=0.3), ZEROS, normal(3), second=True),
    Case("rms_norm_small_float64", rms_norm((5,)), normal(4, 5, scale=1e-7), dtypes=("float64",)),
    Case("rms_norm_many_rows", rms_norm((3,), eps=0.3), normal(70, 3), normal(3)),
    ModuleCase("RMSNorm", lambda lib: lib.nn.RMSNorm(5, eps=0.3), normal(4, 5), second=True),
    ModuleCase("RMSNorm_shape", lambda lib: lib.nn.RMSNorm((3, 2), eps=0.3), normal(4, 3, 2), calls=("train", "eval")),
    ModuleCase("RMSNorm_plain", lambda lib: lib.nn.RMSNorm(5, 0.3, False), normal(4, 5)),
    Case("normalize", normalize(), normal(4, 3), second=True),
    Case("normalize_3d", normalize(), normal(2, 3, 4), second=True),
    Case("normalize_image", normalize(), normal(2, 3, 2, 2), second=True),
    Case("normalize_last", normalize(dim=-1), normal(2, 3, 4), second=True),
    Case("normalize_first", normalize(dim=0), normal(3, 2, 2)),
    Case("normalize_vector", normalize(dim=0), normal(5)),
    Case("normalize_two_axes", normalize(dim=(1, 2)), normal(2, 3, 2)),
    Case("normalize_below_eps", normalize(eps=1.7), normal(6, 3), second=True),
    Case("normalize_below_eps_3d", normalize(eps=1.7), normal(2, 3, 4), second=True),
    Case("normalize_zeros", normalize(eps=0.5), ZEROS),
    Case("normalize_1", normalize(p=1.0), normal(4, 3), second=True),
    Case("normalize_3", normalize(p=3.0), normal(4, 3), second=True),
    Case("normalize_half", normalize(p=0.5), normal(4, 3)),
    Case("normalize_inf", normalize(p=float("inf")), distinct(3, 3)),
    Case("normalize_0", normalize(p=0.0), normal(4, 3)),
    Case("cosine_similarity", cosine(), normal(4, 3), normal(4, 3), second=True),
    Case("cosine_similarity_last", cosine(dim=-1), normal(2, 3, 4), normal(2, 3, 4), second=True),
    Case("cosine_similarity_middle", cosine(dim=1), normal(2, 3, 4), normal(2, 3, 4), second=True),
    Case("cosine_similarity_broadcast", cosine(dim=2), normal(3, 1, 4), normal(1, 2, 4), second=True),
    Case("cosine_similarity_vectors", cosine(dim=0), normal(5), normal(5)),
    Case("cosine_similarity_repeated", cosine(dim=1), normal(2, 3, 4), normal(2, 3, 1)),
    Case("cosine_similarity_zeros", cosine(eps=0.5), ZEROS, constant(np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 0.0]]))),
    ModuleCase("CosineSimilarity", lambda lib: lib.nn.CosineSimilarity(dim=1), normal(4, 3), normal(4, 3)),
]
