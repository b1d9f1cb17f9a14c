"""Every layer takes `device="cpu"`, and no other device."""

import inspect

import pytest

import minigrad as mg
from minigrad import nn

WITH_DTYPE = [
    c for c in vars(nn).values() if inspect.isclass(c) and "dtype" in (inspect.signature(c).parameters or {})
]
WITH_DTYPE = [c for c in WITH_DTYPE if issubclass(c, nn.Module)]
ARGUMENTS = {
    "LazyConv": (3, 2), "LazyLinear": (3,), "Lazy": (), "Bilinear": (2, 3, 4), "Conv": (2, 4, 3), "GroupNorm": (2, 4),
    "LayerNorm": (4,), "RMSNorm": (4,), "MultiheadAttention": (4, 2), "TransformerEncoderLayer": (4, 2),
    "Linear": (3, 4), "Embedding": (3, 4), "RNN": (3, 4), "LSTM": (3, 4), "GRU": (3, 4), "BatchNorm": (4,),
    "InstanceNorm": (4,), "PReLU": (),
}  # fmt: skip


def common():
    for layer in WITH_DTYPE:
        for start, arguments in ARGUMENTS.items():
            if layer.__name__.startswith(start):
                yield layer, arguments
                break


@pytest.mark.parametrize(("layer", "arguments"), list(common()), ids=lambda value: getattr(value, "__name__", ""))
def test_the_cpu_and_nothing_else(layer, arguments):
    for device in ("cpu", mg.device("cpu"), None):
        assert isinstance(layer(*arguments, device=device), layer)
    with pytest.raises(RuntimeError, match=rf"{layer.__name__}: device 'cuda'"):
        layer(*arguments, device="cuda")


def test_a_layer_of_ones_own_may_take_it_itself():
    class Narrow(nn.Linear):
        def __init__(self, n, device=None, dtype=None):
            self.told = device
            super().__init__(n, 1, device=device, dtype=dtype)

    assert Narrow(3, "cpu").told == "cpu" and Narrow(3, device="cpu").told == "cpu"
    with pytest.raises(RuntimeError, match="Narrow: device 'cuda:0'"):
        Narrow(3, "cuda:0")
