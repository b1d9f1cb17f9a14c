"""Pooling: many options, first and second order."""

import numpy as np

from tests.parity.case import Case, ModuleCase, constant, distinct, normal


def _f(name, *args, **options):
    return lambda lib, x: getattr(lib.nn.functional, name)(x, *args, **options)


def _with_nan():
    x = np.random.RandomState(0).standard_normal((1, 2, 5, 5))
    x[0, 0, 1, 2] = x[0, 0, 1, 3] = x[0, 1, 4, 4] = np.nan
    x[0, 1, 0] = -np.inf
    x[0, 1, 1] = -np.inf
    return x


X = distinct(2, 3, 7, 6)
TIES = constant(np.array([[1, 1, 2, 2], [1, 1, 2, 3], [0, 0, 5, 5], [0, 0, 5, 5]])[None, None] * 1.0)

CASES = [
    Case("max_pool1d", _f("max_pool1d", 3), distinct(2, 3, 8), second=True),
    Case("max_pool1d_all", _f("max_pool1d", 3, 2, 1, 2, True, return_indices=True), distinct(2, 3, 8)),
    Case("max_pool2d", _f("max_pool2d", 2), X, second=True),
    Case("max_pool2d_uneven", _f("max_pool2d", (2, 3), (1, 2)), X, second=True),
    Case("max_pool2d_overlapping", _f("max_pool2d", 3, 1, 1), X, second=True),
    Case("max_pool2d_stride_beyond", _f("max_pool2d", 2, 3), X),
    Case("max_pool2d_dilation", _f("max_pool2d", 2, 1, 1, (2, 3)), X, second=True),
    Case("max_pool2d_padding_dilation", _f("max_pool2d", 3, 2, 1, 2), X),
    Case("max_pool2d_ceil", _f("max_pool2d", 2, ceil_mode=True), X),
    Case("max_pool2d_ceil_padding", _f("max_pool2d", 3, 2, 1, ceil_mode=True), X),
    Case("max_pool2d_ceil_window_outside", _f("max_pool2d", 2, 3, 1, ceil_mode=True), distinct(1, 1, 5, 4)),
    Case("max_pool2d_indices", _f("max_pool2d", 3, 2, 1, return_indices=True), X),
    Case("max_pool2d_ties", _f("max_pool2d", 2, return_indices=True), TIES),
    Case("max_pool2d_ties_overlapping", _f("max_pool2d", 3, 1, 1, return_indices=True), TIES),
    Case("max_pool2d_nan", _f("max_pool2d", 2, 1, return_indices=True), constant(_with_nan())),
    Case("max_pool2d_nan_side_by_side", _f("max_pool2d", 2, return_indices=True), constant(_with_nan())),
    Case("max_pool2d_unbatched", _f("max_pool2d", 2), distinct(3, 5, 4)),
    Case("max_pool2d_whole", _f("max_pool2d", (7, 6)), X),
    Case("max_pool2d_empty_batch", _f("max_pool2d", 2), normal(0, 3, 4, 4)),
    Case("max_pool3d", _f("max_pool3d", 2), distinct(2, 2, 4, 5, 6), second=True),
    Case(
        "max_pool3d_all",
        _f("max_pool3d", (2, 3, 2), (1, 2, 2), 1, (1, 2, 1), True, return_indices=True),
        distinct(1, 2, 4, 5, 5),
    ),
    Case("avg_pool1d", _f("avg_pool1d", 3, 2, 1), normal(2, 3, 8), second=True),
    Case("avg_pool2d", _f("avg_pool2d", 2), normal(2, 3, 7, 6), second=True),
    Case("avg_pool2d_padding", _f("avg_pool2d", 3, 2, 1), normal(2, 3, 7, 6), second=True),
    Case("avg_pool2d_padding_uncounted", _f("avg_pool2d", 3, 2, 1, count_include_pad=False), normal(2, 3, 7, 6)),
    Case("avg_pool2d_ceil", _f("avg_pool2d", 3, 2, 1, ceil_mode=True), normal(2, 3, 6, 8)),
    Case(
        "avg_pool2d_ceil_uncounted",
        _f("avg_pool2d", 3, 2, 1, ceil_mode=True, count_include_pad=False),
        normal(2, 3, 6, 8),
    ),
    Case("avg_pool2d_divisor", _f("avg_pool2d", (2, 3), 1, 1, divisor_override=7), normal(2, 3, 5, 6), second=True),
    Case("avg_pool2d_unbatched", _f("avg_pool2d", 2), normal(3, 5, 4)),
    Case("avg_pool3d", _f("avg_pool3d", 2, 1), normal(1, 2, 3, 4, 3), second=True),
    Case("avg_pool3d_all", _f("avg_pool3d", (2, 3, 2), (1, 2, 2), (1, 1, 0), True, False, 5), normal(1, 2, 4, 5, 5)),
    Case("adaptive_avg_pool1d", _f("adaptive_avg_pool1d", 3), normal(2, 3, 8), second=True),
    Case("adaptive_avg_pool2d", _f("adaptive_avg_pool2d", (3, 4)), normal(2, 3, 7, 6), second=True),
    Case("adaptive_avg_pool2d_global", _f("adaptive_avg_pool2d", 1), normal(2, 3, 7, 6)),
    Case("adaptive_avg_pool2d_keep", _f("adaptive_avg_pool2d", (None, 2)), normal(2, 3, 5, 6)),
    Case("adaptive_avg_pool2d_larger", _f("adaptive_avg_pool2d", (7, 5)), normal(2, 3, 3, 4)),
    Case("adaptive_avg_pool2d_unbatched", _f("adaptive_avg_pool2d", 2), normal(3, 5, 4)),
    Case("adaptive_avg_pool3d", _f("adaptive_avg_pool3d", (2, 3, 1)), normal(1, 2, 3, 4, 3), second=True),
    Case("adaptive_max_pool1d", _f("adaptive_max_pool1d", 3), distinct(2, 3, 8), second=True),
    Case("adaptive_max_pool2d", _f("adaptive_max_pool2d", (3, 4)), X, second=True),
    Case("adaptive_max_pool2d_indices", _f("adaptive_max_pool2d", (3, 4), return_indices=True), X),
    Case("adaptive_max_pool2d_larger", _f("adaptive_max_pool2d", 7), distinct(2, 3, 3, 4)),
    Case("adaptive_max_pool3d", _f("adaptive_max_pool3d", (2, 3, 1)), distinct(1, 2, 3, 4, 3), second=True),
    ModuleCase("MaxPool1d", lambda lib: lib.nn.MaxPool1d(2), distinct(2, 3, 8)),
    ModuleCase("MaxPool2d", lambda lib: lib.nn.MaxPool2d(3, 2, 1, 1, True, True), distinct(2, 3, 8, 6)),
    ModuleCase("MaxPool3d", lambda lib: lib.nn.MaxPool3d(2, 1), distinct(1, 2, 3, 3, 4)),
    ModuleCase("AvgPool1d", lambda lib: lib.nn.AvgPool1d(3, 2, 1, True, False), normal(2, 3, 8)),
    ModuleCase("AvgPool2d", lambda lib: lib.nn.AvgPool2d(3, 2, 1, True, True, 4), normal(2, 3, 8, 6)),
    ModuleCase("AvgPool3d", lambda lib: lib.nn.AvgPool3d(2), normal(1, 2, 4, 4, 4)),
    ModuleCase("AdaptiveAvgPool1d", lambda lib: lib.nn.AdaptiveAvgPool1d(2), normal(2, 3, 5)),
    ModuleCase("AdaptiveAvgPool2d", lambda lib: lib.nn.AdaptiveAvgPool2d((2, None)), normal(2, 3, 5, 4)),
    ModuleCase("AdaptiveAvgPool3d", lambda lib: lib.nn.AdaptiveAvgPool3d(2), normal(1, 2, 3, 4, 3)),
    ModuleCase("AdaptiveMaxPool1d", lambda lib: lib.nn.AdaptiveMaxPool1d(2), distinct(2, 3, 5)),
    ModuleCase(
        "AdaptiveMaxPool2d", lambda lib: lib.nn.AdaptiveMaxPool2d(2, return_indices=True), distinct(2, 3, 5, 4)
    ),
    ModuleCase("AdaptiveMaxPool3d", lambda lib: lib.nn.AdaptiveMaxPool3d(2), distinct(1, 2, 3, 4, 3)),
]
