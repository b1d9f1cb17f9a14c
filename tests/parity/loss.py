"""Losses against PyTorch: reductions, weights, ignored samples, smoothing, probability targets, more axes."""

from tests.parity.case import Case, constant, fixed, integers, normal, positive, uniform

REDUCTIONS = ("mean", "sum", "none")
IGNORED = constant([-100, 2, -100, 1, 0, 2, -100])
PROBABILITY = uniform(3, 4, low=0.05, high=0.95)
SURE = constant([0.0, 1.0, 0.0, 1.0])
# PyTorch's smallest divisor, 1e-12, is a float32 number.
ROUNDED = {"float64": 1e-7}
ALL_IGNORED = constant([-100, -100, -100])


def _cross_entropy(**options):
    return lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, **options)


def _weighted(**options):
    return lambda lib, x, t, w: lib.nn.functional.cross_entropy(x, t, weight=w, **options)


def _nll(**options):
    return lambda lib, x, t, w: lib.nn.functional.nll_loss(lib.nn.functional.log_softmax(x, 1), t, weight=w, **options)


def _f(name, **options):
    return lambda lib, x, y: getattr(lib.nn.functional, name)(x, y, **options)


def _each(name, **options):
    return lambda lib, x, y, w: getattr(lib.nn.functional, name)(x, y, weight=w, **options)


def _logits(**options):
    return lambda lib, x, y, w, p: lib.nn.functional.binary_cross_entropy_with_logits(
        x, y, weight=w, pos_weight=p, **options
    )


def _kl(**options):
    def loss(lib, x, y):
        log_p = lib.nn.functional.log_softmax(x, 1)
        q = lib.nn.functional.log_softmax(y, 1) if options.get("log_target") else lib.nn.functional.softmax(y, 1)
        return lib.nn.functional.kl_div(log_p, q, **options)

    return loss


_REGRESSION = {
    "mse_loss": [{}],
    "l1_loss": [{}],
    "smooth_l1_loss": [{}, {"beta": 0.3}, {"beta": 0.0}],
    "huber_loss": [{}, {"delta": 0.3}],
}

CASES = [
    *[
        Case(f"kl_div_{r}_{log}", _kl(reduction=r, log_target=log), normal(3, 4), normal(3, 4), second=True)
        for r in ("mean", "sum", "none", "batchmean")
        for log in (False, True)
    ],
    Case("kl_div_zero", _f("kl_div", reduction="sum"), normal(4), fixed(constant([0.0, 0.5, 0.5, 0.0]))),
    Case("mse_loss_empty", _f("mse_loss"), normal(0, 3), normal(0, 3)),
    Case("bce_with_logits_large", _f("binary_cross_entropy_with_logits"), normal(6, scale=300.0), fixed(uniform(6))),
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
        *[
            Case(f"{_name}_{_i}_{_r}", _f(_name, reduction=_r, **_options), normal(3, 4), normal(3, 4), second=True)
            for _name, _variants in _REGRESSION.items()
            for _i, _options in enumerate(_variants)
        ],
        *[
            Case(f"{_name}_weight_{_r}", _each(_name, reduction=_r), normal(3, 4), normal(3, 4), fixed(positive(3, 4)))
            for _name in ("mse_loss", "l1_loss", "huber_loss")
        ],
        Case(f"bce_{_r}", _f("binary_cross_entropy", reduction=_r), PROBABILITY, PROBABILITY, second=True),
        Case(
            f"bce_weight_{_r}",
            lambda lib, x, y, w, r=_r: lib.nn.functional.binary_cross_entropy(x, y, w, reduction=r),
            PROBABILITY,
            PROBABILITY,
            fixed(positive(4)),
        ),
        Case(
            f"bce_sure_{_r}",
            _f("binary_cross_entropy", reduction=_r),
            SURE,
            fixed(constant([0.0, 0.0, 1.0, 1.0])),
            tolerance=ROUNDED,
        ),
        Case(
            f"bce_with_logits_{_r}",
            _f("binary_cross_entropy_with_logits", reduction=_r),
            normal(3, 4, scale=3.0),
            PROBABILITY,
            second=True,
        ),
        Case(
            f"bce_with_logits_weights_{_r}",
            _logits(reduction=_r),
            normal(3, 4),
            PROBABILITY,
            fixed(positive(3, 1)),
            fixed(positive(4)),
            second=True,
        ),
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
    ]
