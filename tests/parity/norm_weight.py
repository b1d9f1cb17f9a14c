"""Weight norm and spectral norm on layers of every kind, in training and evaluation, and after they are taken off.

Second derivatives of weight norm are compared for dim=1 only: PyTorch 2.13's own gradgradcheck refuses those of its
fused form, which is the one for the first and the last axis. (`tests/norms/weight.py` checks them by differences.)
"""

from typing import Any

from tests.parity.case import Case, ModuleCase, fixed, integers, normal


def parametrized(kind: str, make: Any, **options: Any) -> Any:
    """Make a layer and put a parametrization on its weight."""
    return lambda lib: getattr(lib.nn.utils.parametrizations, kind)(make(lib), **options)


LAYERS = {
    "linear": (lambda lib: lib.nn.Linear(4, 3), (normal(5, 4),)),
    "conv1d": (lambda lib: lib.nn.Conv1d(2, 3, 2), (normal(2, 2, 4),)),
    "conv2d_groups": (lambda lib: lib.nn.Conv2d(4, 2, 2, groups=2, bias=False), (normal(1, 4, 3, 3),)),
    "conv_transpose1d": (lambda lib: lib.nn.ConvTranspose1d(2, 3, 2), (normal(2, 2, 3),)),
    "conv_transpose2d": (lambda lib: lib.nn.ConvTranspose2d(2, 3, 2), (normal(1, 2, 2, 3),)),
    "bilinear": (lambda lib: lib.nn.Bilinear(2, 3, 4), (normal(3, 2), normal(3, 3))),
    "embedding": (lambda lib: lib.nn.Embedding(5, 3), (integers(5, 4),)),
    "layer_norm": (lambda lib: lib.nn.LayerNorm(4), (normal(3, 4),)),  # its weight is a vector
}

CASES = []
for name, (make, inputs) in LAYERS.items():
    CASES += [
        ModuleCase(
            f"weight_norm_{name}",
            parametrized("weight_norm", make),
            *inputs,
            # ‖v‖ of one number is |v|, and the gradient 0 but for rounding.
            dtypes=("float64",) if name == "layer_norm" else ("float64", "float32"),
        ),
        ModuleCase(
            f"spectral_norm_{name}",
            parametrized("spectral_norm", make),
            *inputs,
            calls=("train", "train", "eval"),
            second=name == "linear",
        ),
    ]
CASES += [
    *[
        ModuleCase(
            f"weight_norm_dim_{dim}",
            parametrized("weight_norm", lambda lib: lib.nn.ConvTranspose2d(2, 3, 2), dim=dim),
            normal(1, 2, 2, 2),
            second=dim == 1,
        )
        for dim in (1, 2, None)
    ],
    ModuleCase(
        "spectral_norm_options",
        parametrized("spectral_norm", lambda lib: lib.nn.Linear(4, 3), n_power_iterations=3, eps=0.3, dim=1),
        normal(2, 4),
        calls=("train", "eval"),
    ),
]


def recurrent(lib: Any) -> Any:
    layer = lib.nn.LSTM(3, 2)
    for name in ("weight_hh_l0", "weight_ih_l0"):
        lib.nn.utils.parametrizations.weight_norm(layer, name)
    return layer


class Positive:
    """x², and its inverse: a parametrization in either library."""

    def __new__(cls, lib: Any) -> Any:
        return type(
            "Square",
            (lib.nn.Module,),
            {"forward": lambda self, x: x * x, "right_inverse": lambda self, w: (w.abs() + 0.1).sqrt()},
        )()


def stacked(lib: Any) -> Any:
    layer = lib.nn.Linear(4, 3)
    lib.nn.utils.parametrize.register_parametrization(layer, "weight", Positive(lib))
    return lib.nn.utils.parametrizations.spectral_norm(layer)


CASES += [
    ModuleCase("weight_norm_lstm", recurrent, normal(4, 2, 3)),
    ModuleCase("stacked", stacked, normal(2, 4), calls=("train", "train", "eval")),
]


def trained(kind: str, **options: Any) -> Any:
    """A small network trained, its parametrizations removed, and trained on: all its weights and outputs."""

    def run(lib: Any, w0: Any, w1: Any, u: Any, v: Any, x: Any, target: Any) -> Any:
        nn, F = lib.nn, lib.nn.functional
        net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        net = net.double() if "64" in str(x.dtype) else net
        for layer, w in ((net[0], w0), (net[2], w1)):
            layer.weight = nn.Parameter(w)
            layer.bias = nn.Parameter(w[:, 0] * 0.5)
            getattr(nn.utils.parametrizations, kind)(layer, **options)
        if kind == "spectral_norm":
            for layer in (net[0], net[2]):
                rows, columns = layer.weight.shape
                keys = {"_u": u[:rows], "_v": v[:columns]}
                state = {f"parametrizations.weight.0.{k}": t / (t * t).sum().sqrt() for k, t in keys.items()}
                layer.load_state_dict(state, strict=False)
        found = {}
        for phase in ("before", "after"):
            optimizer = lib.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
            for _ in range(4):
                optimizer.zero_grad()
                F.cross_entropy(net(x), target).backward()
                optimizer.step()
            net.eval()
            found |= {f"{phase}: {key}": value.clone() for key, value in net.state_dict().items()}
            found[f"{phase}: output"] = net(x).detach()
            found[f"{phase}: weight"] = net[0].weight.detach().clone()
            if phase == "before":
                for layer in (net[0], net[2]):
                    nn.utils.parametrize.remove_parametrizations(layer, "weight")
            net.train()
        return found

    return run


WEIGHTS = (fixed(normal(6, 4)), fixed(normal(3, 6)), fixed(normal(6)), fixed(normal(6)))
CASES += [
    Case(f"trained_{kind}", trained(kind), *WEIGHTS, fixed(normal(8, 4)), integers(3, 8))
    for kind in ("weight_norm", "spectral_norm")
]
