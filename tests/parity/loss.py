"""Losses against PyTorch: reductions, weights, ignored samples, smoothing, probability targets, more axes."""

from tests.parity.case import Case, constant, fixed, integers, normal, positive

REDUCTIONS = ("mean", "sum", "none")
IGNORED = constant([-100, 2, -100, 1, 0, 2, -100])
ALL_IGNORED = constant([-100, -100, -100])


def _cross_entropy(**options):
    return lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, **options)


def _weighted(**options):
    return lambda lib, x, t, w: lib.nn.functional.cross_entropy(x, t, weight=w, **options)


def _nll(**options):
    return lambda lib, x, t, w: lib.nn.functional.nll_loss(lib.nn.functional.log_softmax(x, 1), t, weight=w, **options)


CASES = [
    Case("cross_entropy_unbatched", _cross_entropy(), normal(5), integers(5), second=True),
    Case("cross_entropy_large_scores", _cross_entropy(), normal(7, 5, scale=200.0), integers(5, 7)),
    Case("cross_entropy_all_ignored", _cross_entropy(), normal(3, 4), ALL_IGNORED),
    Case("cross_entropy_all_ignored_sum", _cross_entropy(reduction="sum"), normal(3, 4), ALL_IGNORED),
    Case("cross_entropy_all_ignored_smoothed", _cross_entropy(label_smoothing=0.1), normal(3, 4), ALL_IGNORED),
    Case("cross_entropy_other_ignore_index", _cross_entropy(ignore_index=2), normal(7, 3), integers(3, 7)),
    Case("cross_entropy_empty", _cross_entropy(), normal(0, 4), integers(4, 0)),
    Case("cross_entropy_empty_sum", _cross_entropy(reduction="sum"), normal(0, 4), integers(4, 0)),
    Case("cross_entropy_probabilities_unbatched", _cross_entropy(), normal(5), positive(5)),
]
for _r in REDUCTIONS:
    CASES += [
        Case(f"cross_entropy_{_r}", _cross_entropy(reduction=_r), normal(7, 4), integers(4, 7), second=True),
        Case(f"cross_entropy_ignored_{_r}", _cross_entropy(reduction=_r), normal(7, 4), IGNORED, second=True),
        Case(
            f"cross_entropy_weight_{_r}",
            _weighted(reduction=_r),
            normal(7, 4),
            IGNORED,
            fixed(positive(4)),
            second=True,
        ),
        Case(
            f"cross_entropy_weight_smoothed_{_r}",
            _weighted(reduction=_r, label_smoothing=0.3),
            normal(7, 4),
            IGNORED,
            fixed(positive(4)),
            second=True,
        ),
        Case(f"cross_entropy_smoothed_{_r}", _cross_entropy(reduction=_r, label_smoothing=0.3), normal(7, 4), IGNORED),
        Case(f"cross_entropy_image_{_r}", _cross_entropy(reduction=_r), normal(2, 3, 4, 2), integers(3, 2, 4, 2)),
        Case(
            f"cross_entropy_probabilities_{_r}",
            _cross_entropy(reduction=_r),
            normal(6, 4),
            positive(6, 4),
            second=True,
        ),
        Case(
            f"cross_entropy_probabilities_weight_smoothed_{_r}",
            _weighted(reduction=_r, label_smoothing=0.2),
            normal(3, 4, 2),
            positive(3, 4, 2),
            fixed(positive(4)),
        ),
        Case(f"nll_loss_{_r}", _nll(reduction=_r), normal(7, 4), IGNORED, fixed(positive(4)), second=True),
        Case(f"nll_loss_image_{_r}", _nll(reduction=_r), normal(2, 3, 4, 2), integers(3, 2, 4, 2), fixed(positive(3))),
        Case(
            f"mse_loss_{_r}",
            lambda lib, x, y, r=_r: lib.nn.functional.mse_loss(x, y, reduction=r),
            normal(3, 4),
            normal(3, 4),
            second=True,
        ),
    ]
