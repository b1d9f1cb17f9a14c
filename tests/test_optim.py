"""Optimizers, parameter groups, saving and continuing, gradient clipping. PyTorch's numbers: tests/parity/optim.py."""

import json
import math
import os
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import optim as kernels
from minigrad.optim import SGD, Adagrad, Adam, AdamW, RMSprop

OPTIMIZERS = {
    "sgd": (SGD, {"lr": 0.1}),
    "sgd_momentum": (SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd_nesterov": (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "adam": (Adam, {"lr": 0.1, "weight_decay": 0.1}),
    "adam_amsgrad": (Adam, {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    "adamw": (AdamW, {"lr": 0.1, "weight_decay": 0.1}),
    "rmsprop": (RMSprop, {"lr": 0.05, "alpha": 0.8}),
    "rmsprop_all": (RMSprop, {"lr": 0.05, "alpha": 0.8, "centered": True, "momentum": 0.7, "weight_decay": 0.1}),
    "adagrad": (Adagrad, {"lr": 0.5, "lr_decay": 0.01, "weight_decay": 0.1}),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def make(name: str, params: Any) -> mg.optim.Optimizer:
    kind, options = OPTIMIZERS[name]
    return kind(params, **options)


def parameters(dtype: Any = np.float32, seed: int = 0) -> list[mg.Tensor]:
    rng = np.random.default_rng(seed)
    return [mg.Tensor(rng.normal(size=s).astype(dtype), requires_grad=True) for s in [(3, 4), (5,), ()]]


def give_gradients(params: list[mg.Tensor], step: int) -> None:
    """Noise and half the parameter, the same for the same step and values."""
    rng = np.random.default_rng(100 + step)
    for p in params:
        p.grad = mg.Tensor((rng.normal(size=p.shape) + 0.5 * p.array).astype(p.dtype))


def run(params: list[mg.Tensor], optimizer: mg.optim.Optimizer, steps: range) -> None:
    for step in steps:
        give_gradients(params, step)
        optimizer.step()


def bits(params: list[mg.Tensor]) -> list[bytes]:
    return [p.array.tobytes() for p in params]


# -- the formulas, in NumPy -------------------------------------------------------------------------------


def test_adamw_is_the_formula_of_the_paper() -> None:
    lr, beta1, beta2, eps, decay = 0.1, 0.7, 0.8, 0.05, 0.3
    (p,) = params = [mg.Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)]
    optimizer = AdamW(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    x, m, v = p.array.copy(), np.zeros(3), np.zeros(3)
    for t in range(1, 30):
        give_gradients(params, t)
        g = p.grad.array.copy()
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        x = x - lr * decay * x - lr * m_hat / (np.sqrt(v_hat) + eps)
        optimizer.step()
        np.testing.assert_allclose(p.array, x, rtol=1e-13, atol=1e-14)


def test_adam_decays_through_the_gradient_and_adamw_does_not() -> None:
    # Without a gradient of its own, Adam's decay is divided by its own size: the step is lr whatever the decay is.
    for decay in (0.1, 0.5):
        p = mg.Tensor(np.array([4.0]), requires_grad=True)
        p.grad = mg.zeros(1, dtype=mg.float64)
        Adam([p], lr=0.5, weight_decay=decay).step()
        assert p.item() == pytest.approx(3.5, abs=1e-7)
    p = mg.Tensor(np.array([4.0]), requires_grad=True)
    p.grad = mg.zeros(1, dtype=mg.float64)
    AdamW([p], lr=0.5, weight_decay=0.1).step()
    assert p.item() == pytest.approx(4 * (1 - 0.05))


def test_first_momentum_is_the_gradient_undamped() -> None:
    p = mg.Tensor(np.array([1.0]), requires_grad=True)
    optimizer = SGD([p], lr=1.0, momentum=0.5, dampening=0.25)
    for expected in (1 - 2.0, -1 - (0.5 * 2 + 0.75 * 2)):
        p.grad = mg.Tensor(np.array([2.0]))
        optimizer.step()
        assert p.item() == expected


@every_optimizer
def test_minimizes(name: str) -> None:
    x = mg.tensor([3.0, -2.0], requires_grad=True)
    optimizer = make(name, [x])
    start = None
    for _ in range(150):
        optimizer.zero_grad()
        loss = ((x - mg.tensor([1.0, 1.0])) * (x - mg.tensor([1.0, 1.0]))).sum()
        start = loss.item() if start is None else start
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * start


def test_maximize_goes_up() -> None:
    for name in OPTIMIZERS:
        kind, options = OPTIMIZERS[name]
        p = mg.tensor([1.0], requires_grad=True)
        p.grad = mg.tensor([2.0])
        kind([p], **{**options, "weight_decay": 0.0}, maximize=True).step()
        assert p.item() > 1, name


# -- what is touched, and what is not ---------------------------------------------------------------------


@every_optimizer
def test_memory_layout_does_not_matter(name: str) -> None:
    rng = np.random.default_rng(0)
    values, gradient = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    plain = mg.Tensor(values.copy(), requires_grad=True)
    fortran = mg.Tensor(np.asfortranarray(values), requires_grad=True)
    big = np.zeros((8, 12))
    big[::2, ::2] = values
    strided = mg.Tensor(big[::2, ::2], requires_grad=True)
    params = [plain, fortran, strided]
    optimizer = make(name, params)
    for step in range(3):
        for p, order in zip(params, ("C", "F", "F"), strict=True):
            p.grad = mg.Tensor(np.array(gradient + step, order=order))
        optimizer.step()
    np.testing.assert_array_equal(fortran.array, plain.array)
    np.testing.assert_array_equal(strided.array, plain.array)
    assert fortran.array.flags.f_contiguous
    assert strided.array.base is not None and (big[1::2] == 0).all() and (big[:, 1::2] == 0).all()


@every_optimizer
def test_updates_in_place_and_leaves_gradients_alone(name: str) -> None:
    params = parameters()
    arrays, optimizer = [p.array for p in params], make(name, params)
    give_gradients(params, 0)
    gradients = [p.grad.array.copy() for p in params]
    optimizer.step()
    for p, array, g in zip(params, arrays, gradients, strict=True):
        assert p.array is array
        np.testing.assert_array_equal(p.grad.array, g)


def test_gradients_that_repeat_one_number_or_have_another_dtype() -> None:
    wide = mg.tensor([1.0, 1.0], requires_grad=True)
    wide.grad = mg.Tensor(np.broadcast_to(np.float32(2), (2,)))
    mixed = mg.tensor([1.0, 1.0], requires_grad=True)
    mixed.grad = mg.Tensor(np.full(2, 2.0))
    SGD([wide, mixed], lr=0.25).step()
    assert wide.tolist() == mixed.tolist() == [0.5, 0.5]
    assert mixed.dtype == np.float32


@every_optimizer
def test_empty_and_zero_dimensional_parameters(name: str) -> None:
    empty, scalar = mg.Tensor(np.zeros((0, 3)), requires_grad=True), mg.Tensor(np.array(1.0), requires_grad=True)
    empty.grad, scalar.grad = mg.Tensor(np.zeros((0, 3))), mg.Tensor(np.array(1.0))
    make(name, [empty, scalar]).step()
    assert empty.shape == (0, 3) and scalar.shape == () and scalar.item() < 1


@every_optimizer
def test_parameters_without_gradient_are_left_alone(name: str) -> None:
    params = parameters()
    before = bits(params)
    optimizer = make(name, params)
    give_gradients(params, 0)
    params[1].grad = None
    optimizer.step()
    assert bits(params)[1] == before[1] and params[1].version[0] == 0 and params[1] not in optimizer.state
    assert all(bits(params)[i] != before[i] for i in (0, 2))


@every_optimizer
def test_a_step_counts_as_a_change_in_place(name: str) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    x.grad = mg.tensor([1.0, 1.0])
    make(name, [x]).step()
    assert x.version[0] == 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("name", ["sgd", "sgd_momentum", "adam", "adam_amsgrad", "adamw", "rmsprop_all", "adagrad"])
def test_nan_and_infinity_are_not_masked(name: str) -> None:
    p = mg.tensor([1.0, 1.0, 1.0], requires_grad=True)
    optimizer = make(name, [p])
    p.grad = mg.tensor([1.0, math.nan, 1.0])
    optimizer.step()
    p.grad = mg.tensor([1.0, 1.0, 1.0])
    optimizer.step()
    assert np.isnan(p.array).tolist() == [False, True, False]


def test_no_decay_leaves_an_infinite_parameter_infinite() -> None:
    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):
        p = mg.tensor([math.inf, 1.0], requires_grad=True)
        p.grad = mg.tensor([1.0, 1.0])
        kind([p], lr=0.1, weight_decay=0.0).step()
        assert p.array[0] == math.inf, kind


def test_centered_rmsprop_stays_finite_with_a_constant_gradient() -> None:
    # s and a² become the same number, and rounding decides the sign of the difference.
    p = mg.Tensor(np.full(64, 1.0, np.float32), requires_grad=True)
    optimizer = RMSprop([p], lr=1e-3, alpha=0.5, eps=1e-2, centered=True)
    gradient = np.linspace(0.1, 9, 64, dtype=np.float32)
    for _ in range(100):
        p.grad = mg.Tensor(gradient.copy())
        optimizer.step()
    assert np.isfinite(p.array).all()


def test_serial_and_parallel_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 1003):
        start = [rng.normal(size=size).astype(np.float32) for _ in range(3)] + [rng.random(size).astype(np.float32)]
        results = []
        for form in (kernels.adam.serial, kernels.adam.parallel):
            p, g, m, v = (a.copy() for a in start)
            form(p, g, m, v, 0.1, 0.9, 0.99, 0.5, 1e-3, 0.1, 0.99, 1.0)
            results.append([a.tobytes() for a in (p, m, v)])
        assert results[0] == results[1]


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_whole_numbers_as_options_compile_nothing_new() -> None:
    def step(kind: Any, **options: Any) -> None:
        p = mg.tensor([1.0], requires_grad=True)
        p.grad = mg.tensor([1.0])
        kind([p], **options).step()

    cases = [(SGD, "sgd", {}), (SGD, "sgd_momentum", {"momentum": 1}), (Adam, "adam", {"eps": 1, "betas": (0, 0)})]
    for kind, name, options in cases:
        step(kind, lr=1.0, **{k: (0.0, 0.0) if k == "betas" else float(v) for k, v in options.items()})
        compiled = len(getattr(kernels, name).serial.signatures)
        step(kind, lr=1, weight_decay=0, **options)
        assert len(getattr(kernels, name).serial.signatures) == compiled


# -- stepping and zeroing ---------------------------------------------------------------------------------


def test_closure_is_called_with_gradients_on() -> None:
    x = mg.tensor([2.0], requires_grad=True)
    optimizer = SGD([x], lr=0.25)

    def closure() -> mg.Tensor:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        loss = optimizer.step(closure)
    assert loss is not None and loss.item() == 4 and x.tolist() == [1.0]
    assert optimizer.step() is None


def test_zero_grad() -> None:
    x = mg.tensor([2.0], requires_grad=True)
    optimizer = SGD([x])
    (x * x).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert x.grad is not None and x.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert x.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert x.grad is None


def test_zero_grad_keeps_the_gradient_that_others_hold() -> None:
    x = mg.tensor([2.0], requires_grad=True)
    (x * x).sum().backward()
    held = x.grad
    SGD([x]).zero_grad(set_to_none=False)
    assert x.grad is held and held is not None and held.tolist() == [0.0]


def test_a_parameter_that_was_taken_out_of_its_group() -> None:
    params = parameters()
    optimizer = Adam(params)
    run(params, optimizer, range(2))
    del optimizer.param_groups[0]["params"][1]
    state = optimizer.state_dict()
    assert state["param_groups"][0]["params"] == [0, 1] and state["state"].keys() == {0, 1}
    again = Adam([params[0], params[2]])
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.state[params[2]]["exp_avg"], optimizer.state[params[2]]["exp_avg"])


def test_zero_grad_cuts_a_recorded_gradient_off() -> None:
    x = mg.tensor([2.0], requires_grad=True)
    (x * x * x).sum().backward(create_graph=True)
    assert x.grad is not None and x.grad.requires_grad
    SGD([x]).zero_grad(set_to_none=False)
    assert not x.grad.requires_grad and x.grad.tolist() == [0.0]


# -- saving and continuing --------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_continuing_from_a_saved_state_gives_the_same_bits(name: str, dtype: Any) -> None:
    params = parameters(dtype)
    optimizer = make(name, params)
    run(params, optimizer, range(4))
    saved, values = optimizer.state_dict(), [p.array.copy() for p in params]
    run(params, optimizer, range(4, 9))

    again = [mg.Tensor(v.copy(), requires_grad=True) for v in values]
    resumed = type(optimizer)(again, lr=123.0)  # its own options are overwritten
    resumed.load_state_dict(saved)
    run(again, resumed, range(4, 9))
    assert bits(again) == bits(params)

    # The saved state did not change while training went on, and serves a second time.
    third = [mg.Tensor(v.copy(), requires_grad=True) for v in values]
    once_more = type(optimizer)(third)
    once_more.load_state_dict(saved)
    run(third, once_more, range(4, 9))
    assert bits(third) == bits(params)


def test_saved_state_survives_json() -> None:
    params = parameters(np.float64)
    optimizer = Adam(params, lr=0.1, amsgrad=True)
    run(params, optimizer, range(3))
    as_text = json.dumps(optimizer.state_dict(), default=lambda tensor: tensor.tolist())
    again = [mg.Tensor(p.array.copy(), requires_grad=True) for p in params]
    resumed = Adam(again)
    resumed.load_state_dict(json.loads(as_text))
    run(params, optimizer, range(3, 6))
    run(again, resumed, range(3, 6))
    assert bits(again) == bits(params)
    assert resumed.param_groups[0]["betas"] == (0.9, 0.999)


def test_state_has_the_layout_of_pytorch() -> None:
    expected = {
        "sgd": set(),
        "sgd_momentum": {"momentum_buffer"},
        "adam": {"step", "exp_avg", "exp_avg_sq"},
        "adam_amsgrad": {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
        "rmsprop": {"step", "square_avg"},
        "rmsprop_all": {"step", "square_avg", "grad_avg", "momentum_buffer"},
        "adagrad": {"step", "sum"},
    }
    for name, keys in expected.items():
        params = parameters()
        optimizer = make(name, [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}])
        run(params, optimizer, range(2))
        state = optimizer.state_dict()
        assert [group["params"] for group in state["param_groups"]] == [[0], [1, 2]]
        assert state["param_groups"][1]["lr"] == 0.3
        for i, p in enumerate(params):
            assert set(state["state"][i]) == keys, name
            assert all(v.shape == p.shape for k, v in state["state"][i].items() if k != "step")


def test_loading_what_does_not_fit_changes_nothing() -> None:
    params = parameters()
    optimizer = Adam(params)
    run(params, optimizer, range(2))
    before = optimizer.state_dict()
    swapped = Adam([params[1], params[0], params[2]])
    with pytest.raises(ValueError, match=r"exp_avg has shape \(3, 4\), and its parameter \(5,\)"):
        swapped.load_state_dict(before)
    assert swapped.state == {}
    with pytest.raises(ValueError, match="1 parameter groups, and this optimizer 2"):
        Adam([{"params": params[:1]}, {"params": params[1:]}]).load_state_dict(before)
    with pytest.raises(ValueError, match="group 0 has 3 parameters"):
        Adam(params[:2]).load_state_dict(before)
    bad = {**before, "param_groups": [{**before["param_groups"][0], "lr": -1.0}]}
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.load_state_dict(bad)
    assert optimizer.param_groups[0]["lr"] == 1e-3


class Count:
    """Like PyTorch's tensor with one number, whose size is a method."""

    ndim = 0

    def __init__(self, value: int):
        self.value = value

    def item(self) -> float:
        return float(self.value)

    def size(self) -> tuple[int, ...]:
        return ()


def test_options_that_only_pytorch_has_are_left_out() -> None:
    params = parameters()
    optimizer = Adam(params)
    run(params, optimizer, range(1))
    state = optimizer.state_dict()
    state["param_groups"][0] |= {"foreach": None, "fused": None}
    for values in state["state"].values():
        values["step"] = Count(values["step"])
    state["param_groups"][0]["lr"] = np.array(0.25)  # PyTorch's may be a tensor
    optimizer.load_state_dict(state)
    assert "foreach" not in optimizer.param_groups[0] and optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.state[params[0]]["step"] == 1


# -- another dtype on the way -----------------------------------------------------------------------------


def convert(params: list[mg.Tensor], dtypes: list[Any]) -> None:
    """As `Module.to` does: other data, the same tensor."""
    for p, dtype in zip(params, dtypes, strict=True):
        p.array = p.array.astype(dtype)


def tensors(state: dict[str, Any]) -> list[Any]:
    return [v for v in state.values() if isinstance(v, mg.Tensor)]


F32, F64 = np.float32, np.float64
CONVERSIONS = {
    "double": ([F32] * 3, [F64] * 3),
    "float": ([F64] * 3, [F32] * 3),
    "mixed": ([F32, F64, F32], [F64, F32, F32]),
}


@every_optimizer
@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize("when", ["load, convert", "convert, load", "convert, save, load"])
def test_state_follows_a_parameter_that_changes_its_dtype(name: str, conversion: str, when: str) -> None:
    before, after = CONVERSIONS[conversion]
    params = parameters(F64)
    convert(params, before)
    optimizer = make(name, params)
    run(params, optimizer, range(4))
    if when == "convert, save, load":
        convert(params, after)
    saved, values = optimizer.state_dict(), [p.array.copy() for p in params]
    convert(params, after)
    run(params, optimizer, range(4, 9))
    for p, dtype in zip(params, after, strict=True):
        assert p.dtype == dtype and all(v.dtype == dtype for v in tensors(optimizer.state[p]))

    again = [mg.Tensor(v.copy(), requires_grad=True) for v in values]
    resumed = type(optimizer)(again)
    if when == "load, convert":
        resumed.load_state_dict(saved)
        convert(again, after)
    else:
        convert(again, after)
        resumed.load_state_dict(saved)
        assert all(v.dtype == p.dtype for p in again for v in tensors(resumed.state.get(p, {})))
    run(again, resumed, range(4, 9))
    assert bits(again) == bits(params)


def test_steps_after_a_conversion_are_those_of_the_new_dtype() -> None:
    """The formula in NumPy, to the last digits of float64."""
    (p,) = params = [mg.Tensor(np.array([1.0, -2.0, 3.0], F32), requires_grad=True)]
    optimizer = SGD(params, lr=0.125, momentum=0.9)
    x, b = p.array.astype(F64), np.zeros(3)
    for step in range(8):
        if step == 3:
            convert(params, [F64])
            x, b = p.array.copy(), b.astype(F64)
        give_gradients(params, step)
        b = (p.dtype.type(0.9) * b + p.grad.array).astype(p.dtype)
        x = (x - p.dtype.type(0.125) * b).astype(p.dtype)
        optimizer.step()
        if step >= 3:
            np.testing.assert_allclose(p.array, x, rtol=1e-15 if step == 3 else 1e-14)
        else:
            x = p.array.copy()
            b = optimizer.state[p]["momentum_buffer"].array.copy()


@every_optimizer
def test_a_run_that_saves_goes_on_like_one_that_loads(name: str) -> None:
    """Twice another dtype, and no step in between."""
    params = parameters(F64)
    optimizer = make(name, params)
    run(params, optimizer, range(3))
    convert(params, [F32] * 3)
    saved = optimizer.state_dict()
    again = [mg.Tensor(p.array.copy(), requires_grad=True) for p in params]
    resumed = make(name, again)
    resumed.load_state_dict(saved)
    for some, one in ((params, optimizer), (again, resumed)):
        convert(some, [F64] * 3)
        run(some, one, range(3, 6))
    assert bits(again) == bits(params)


def test_model_double_between_two_steps() -> None:
    mg.manual_seed(0)
    model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.LayerNorm(4), mg.nn.Linear(4, 1))
    optimizer = AdamW(model.parameters(), lr=0.1)
    for i in range(6):
        if i in (2, 4):
            model.double() if i == 2 else model.float()
        optimizer.zero_grad()
        (model(mg.ones(5, 3, dtype=model[0].weight.dtype)) ** 2).sum().backward()
        optimizer.step()
        for p in model.parameters():
            assert p.dtype == (F64 if i in (2, 3) else F32)
            assert all(v.dtype == p.dtype for v in tensors(optimizer.state[p]))


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"sgd"}))
def test_a_parameter_whose_data_were_replaced(name: str) -> None:
    params = parameters()
    optimizer = make(name, params)
    run(params, optimizer, range(2))
    params[0].array = np.zeros((30, 40), F32)
    params[0].grad = mg.zeros(30, 40)
    with pytest.raises(ValueError, match=r"has shape \(3, 4\), and its parameter has shape \(30, 40\) now"):
        optimizer.step()
    params[0].array = np.zeros((3, 4), np.int64)
    params[0].grad = mg.zeros(3, 4)
    with pytest.raises(TypeError, match="a parameter is int64 now"):
        optimizer.step()
    params[0].array = np.broadcast_to(np.float32(1), (3, 4))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"shape \(3, 4\) are read-only"):
        optimizer.step()
    for key, value in before["state"][0].items():
        np.testing.assert_array_equal(optimizer.state_dict()["state"][0][key], value)


# -- junk -------------------------------------------------------------------------------------------------

WRONG = [None, 7, "junk", b"junk", [1, 2, 3], {}, {"a": 1}, math.nan, 10**400, object()]


@every_optimizer
def test_junk_is_refused_when_it_is_loaded_and_changes_nothing(name: str) -> None:
    params = parameters()
    optimizer = make(name, [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}])
    run(params, optimizer, range(2))
    good = optimizer.state_dict()

    def refuses(state: Any) -> None:
        groups, remembered = [dict(group) for group in optimizer.param_groups], optimizer.state
        held = [[id(v) for v in values.values()] for values in remembered.values()]
        with pytest.raises((ValueError, TypeError)) as info:
            optimizer.load_state_dict(state)
        assert "\n" not in str(info.value) and len(str(info.value)) < 500
        assert [dict(group) for group in optimizer.param_groups] == groups and optimizer.state is remembered
        assert held == [[id(v) for v in values.values()] for values in remembered.values()]

    def with_group(**changes: Any) -> Any:
        group = {**good["param_groups"][1], **changes}
        return {**good, "param_groups": [good["param_groups"][0], group]}

    def with_state(values: Any, number: Any = 1) -> Any:
        return {**good, "state": {**good["state"], number: values}}

    for wrong in WRONG:
        refuses(wrong)
        refuses({**good, "param_groups": wrong})
        if wrong != {}:
            refuses({**good, "state": wrong})
            refuses(with_state(wrong))
        refuses({**good, "param_groups": [wrong, wrong]})
        refuses(with_group(params=wrong))
        refuses(with_group(params=[wrong, wrong]))
        for option, value in good["param_groups"][1].items():
            fits = wrong == 7 and isinstance(value, int | float) and not isinstance(value, bool)
            if option != "params" and not fits:
                refuses(with_group(**{option: wrong}))
        refuses(with_group(param_names=wrong))
        if wrong != 7:
            refuses(with_group(initial_lr=wrong))
    refuses(with_group(params=[1, 1]))
    refuses(with_group(params=[1]))
    refuses(with_group(params=[0, 1]))
    refuses(with_group(param_names=["a", "b"]))  # and the other group has none
    refuses({**good, "param_groups": good["param_groups"][:1]})
    refuses({**good, "param_groups": good["param_groups"] * 2})
    refuses(with_state(good["state"][1], number=17))
    refuses(with_state(good["state"][1], number="first"))
    for option, value in good["param_groups"][1].items():
        if not isinstance(value, bool):
            group = {key: v for key, v in good["param_groups"][1].items() if key != option}
            refuses({**good, "param_groups": [good["param_groups"][0], group]})

    values = good["state"][1]
    refuses(with_state({**values, "color": 3}))
    optional = {"momentum_buffer", "max_exp_avg_sq", "grad_avg"}
    for key in values:
        rest = {k: v for k, v in values.items() if k != key}
        if key not in optional and rest:
            refuses(with_state(rest))
        for wrong in (*WRONG, ["a"] * 5, "12345", np.zeros((5, 1)), np.zeros(4), np.zeros(5, complex), [[1], [1, 2]]):
            fits = (wrong is None and key in optional) or (key == "step" and isinstance(wrong, int))
            if not fits:
                refuses(with_state({**values, key: wrong}))
        if key == "step":
            for wrong in (-1, 1.5, math.inf, True, np.ones(2), 1e30, "2"):
                refuses(with_state({**values, key: wrong}))
    for other in OPTIMIZERS:
        theirs = make(other, [{"params": params[:1]}, {"params": params[1:]}])
        run(params, theirs, range(1))
        if theirs.state_dict()["state"][0].keys() - values.keys() - optional:
            refuses({**good, "state": theirs.state_dict()["state"]})
    optimizer.load_state_dict(good)


def test_a_saved_rate_may_be_negative_where_schedules_made_it_so() -> None:
    params = parameters()
    optimizer = SGD(params, lr=0.1)
    mg.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.param_groups[0]["lr"] = -0.01
    again = SGD(params)
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["lr"] == -0.01


# -- groups -----------------------------------------------------------------------------------------------


def test_options_of_groups() -> None:
    a, b, c = parameters()
    optimizer = SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "momentum": 0.5})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5, 0.1]
    assert [g["momentum"] for g in optimizer.param_groups] == [0, 0, 0.5]
    before = [p.array.copy() for p in (a, b, c)]
    for p in (a, b, c):
        p.grad = mg.Tensor(np.ones(p.shape, np.float32))
    optimizer.step()
    for p, old, lr in zip((a, b, c), before, (0.1, 0.5, 0.1), strict=True):
        np.testing.assert_allclose(old - p.array, lr, rtol=1e-5)
    assert "momentum: 0.5" in repr(optimizer) and "12 values" in repr(optimizer)


def test_named_parameters() -> None:
    model = mg.nn.Linear(3, 2)
    optimizer = SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"] == [model.weight, model.bias]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="names to all"):
        SGD([("weight", model.weight), model.bias])


@every_optimizer
def test_all_groups_have_names_or_none_has(name: str) -> None:
    a, b, c = parameters()
    named, plain = {"params": [("a", a)]}, {"params": [b]}
    for first, second, text in ((named, plain, "have no names, and"), (plain, named, "have names, and")):
        with pytest.raises(ValueError, match=f"group 1 {text}"):
            make(name, [first, second])
        optimizer = make(name, [first])
        with pytest.raises(ValueError, match=f"group 1 {text}"):
            optimizer.add_param_group(second)
        assert len(optimizer.param_groups) == 1
    optimizer = make(name, [named, {"params": [b], "param_names": ["b"]}])
    optimizer.add_param_group({"params": (pair for pair in [("c", c)])})
    assert [group["param_names"] for group in optimizer.param_groups] == [["a"], ["b"], ["c"]]
    # As in PyTorch, names that were saved take the place of others, and names stay if none were saved.
    twin = make(name, [{"params": [a]}, {"params": [b]}, {"params": [c]}])
    twin.load_state_dict(optimizer.state_dict())
    assert [group["param_names"] for group in twin.param_groups] == [["a"], ["b"], ["c"]]
    optimizer.load_state_dict(make(name, [{"params": [p]} for p in (a, b, c)]).state_dict())
    assert [group["param_names"] for group in optimizer.param_groups] == [["a"], ["b"], ["c"]]


def test_a_rate_that_is_a_tensor() -> None:
    (p,) = params = parameters()[:1]
    lr = mg.tensor(0.5)
    optimizer = SGD(params, lr=lr)
    lr.fill_(0.25)
    before = p.array.copy()
    p.grad = mg.ones(3, 4)
    optimizer.step()
    np.testing.assert_array_equal(p.array, before - np.float32(0.25))
    saved = optimizer.state_dict()
    lr.fill_(2.0)
    assert saved["param_groups"][0]["lr"].item() == 0.25
    for wrong in (mg.tensor(-1.0), mg.ones(2)):
        with pytest.raises(ValueError, match="lr must be a number"):
            SGD(params, lr=wrong)  # type: ignore[arg-type]


X = mg.tensor([1.0], requires_grad=True)


@pytest.mark.parametrize(
    ("make_it", "error", "message"),
    [
        (lambda: SGD(X), TypeError, "put the one tensor in a list"),
        (lambda: SGD([]), ValueError, "empty list"),
        (lambda: SGD(iter([])), ValueError, "only once"),
        (lambda: SGD({"params": [X]}), TypeError, "not a dict"),
        (lambda: SGD([{"lr": 0.1}]), TypeError, 'key "params"'),
        (lambda: SGD([{"params": {X}}]), TypeError, "is a set"),
        (lambda: SGD([{"params": None}]), TypeError, "must be tensors, not a NoneType"),
        (lambda: SGD([{"params": "weight"}]), TypeError, "must be tensors, not a str"),
        (lambda: SGD([("a", X, 3)]), TypeError, "a pair .name, tensor."),
        (lambda: SGD([(X, "a")]), TypeError, "a pair .name, tensor."),
        (lambda: SGD([{"params": [X], "param_names": ["a", "b"]}]), ValueError, "2 param_names for 1 parameters"),
        (lambda: SGD([{"params": [X], "param_names": "a"}]), TypeError, "must be a list of strings"),
        (lambda: SGD([X], dampening=math.nan), ValueError, "dampening"),
        (lambda: SGD([X], nesterov="yes", momentum=0.9), ValueError, "nesterov must be True or False"),  # type: ignore[arg-type]
        (lambda: SGD([X], lr=True), ValueError, "lr must be a number"),
        (lambda: Adam([X], betas=("a", "b")), ValueError, "betas must be two numbers"),  # type: ignore[arg-type]
        (lambda: SGD([np.zeros(3)]), TypeError, r"params\[0\] is a ndarray"),
        (lambda: SGD([mg.arange(3)]), TypeError, "int64"),
        (lambda: SGD([X * 2]), ValueError, "only leaves|Only leaves"),
        (lambda: SGD([X, X]), ValueError, "List each tensor once"),
        (lambda: SGD([{"params": [X]}, {"params": [X]}]), ValueError, "in the optimizer already"),
        (lambda: SGD([{"params": [X], "learning_rate": 1}]), ValueError, "no option 'learning_rate'"),
        (lambda: SGD([X], lr=-0.1), ValueError, "SGD: lr must be a number of at least 0, got -0.1"),
        (lambda: SGD([X], lr=math.nan), ValueError, "lr must be"),
        (lambda: SGD([X], lr="fast"), ValueError, "'fast'"),  # type: ignore[arg-type]
        (lambda: SGD([X], momentum=-1), ValueError, "momentum"),
        (lambda: SGD([X], weight_decay=-1), ValueError, "weight_decay"),
        (lambda: SGD([X], nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: SGD([X], nesterov=True, momentum=0.9, dampening=0.1), ValueError, "no dampening"),
        (lambda: Adam([X], betas=(1.0, 0.9)), ValueError, "betas"),
        (lambda: AdamW([X], betas=(0.9,)), ValueError, "AdamW: betas"),  # type: ignore[arg-type]
        (lambda: Adam([X], eps=-1), ValueError, "eps"),
        (lambda: RMSprop([X], alpha=-1), ValueError, "alpha"),
        (lambda: Adagrad([X], lr_decay=-1), ValueError, "lr_decay"),
        (lambda: Adagrad([{"params": [X], "lr": -1}]), ValueError, "lr must be"),
    ],
)
def test_errors(make_it: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_it()


def test_a_gradient_of_another_shape_is_an_error() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    x.grad = mg.tensor([1.0])
    with pytest.raises(ValueError, match=r"shape \(2,\) has a gradient of shape \(1,\)"):
        SGD([x]).step()


# -- weight decay -----------------------------------------------------------------------------------------


class MyNorm2d(mg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = mg.nn.Parameter(np.ones((3, 1, 1), np.float32))


class Scaled(mg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = mg.nn.Linear(4, 3)
        self.norm = MyNorm2d()
        self.second = mg.nn.Linear(4, 3)
        self.second.weight = self.first.weight  # shared
        self.temperature = mg.nn.Parameter(np.ones(1, np.float32))


def test_weight_decay_leaves_norms_and_biases_out() -> None:
    model = Scaled()
    decaying, others = mg.optim.weight_decay_groups(model, 0.1)
    assert [name for name, _ in decaying["params"]] == ["first.weight"] and decaying["weight_decay"] == 0.1
    names = {"first.bias", "norm.scale", "second.bias", "temperature"}
    assert {name for name, _ in others["params"]} == names and others["weight_decay"] == 0.0
    optimizer = AdamW(mg.optim.weight_decay_groups(model, 0.1), lr=0.5)
    before = {name: p.array.copy() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = mg.Tensor(np.zeros(p.shape, np.float32))
    optimizer.step()
    for name, p in model.named_parameters():
        factor = 0.95 if name == "first.weight" else 1.0
        np.testing.assert_allclose(p.array, factor * before[name], rtol=1e-6)


def test_weight_decay_groups_that_would_be_empty_are_left_out() -> None:
    (only,) = mg.optim.weight_decay_groups(mg.nn.Linear(2, 2, bias=False), 0.1)
    assert only["weight_decay"] == 0.1
    (only,) = mg.optim.weight_decay_groups(MyNorm2d(), 0.1)
    assert only["weight_decay"] == 0.0


# -- clipping ---------------------------------------------------------------------------------------------


def with_gradients(*gradients: Any) -> list[mg.Tensor]:
    params = []
    for g in gradients:
        p = mg.Tensor(np.zeros_like(np.asarray(g)), requires_grad=True)
        p.grad = mg.Tensor(np.array(g))
        params.append(p)
    return params


def test_clipping_scales_all_gradients_together() -> None:
    a, b = with_gradients(np.array([3.0, 0.0]), np.array([[4.0]]))
    unused = mg.Tensor(np.zeros(3), requires_grad=True)
    norm = mg.optim.clip_grad_norm_([a, unused, b], 1.0)
    assert norm.item() == 5.0 and norm.shape == () and unused.grad is None
    np.testing.assert_allclose(a.grad.array, [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(b.grad.array, [[0.8]], rtol=1e-6)
    assert a.grad.version[0] == 1
    assert mg.optim.get_total_norm([a.grad, b.grad]).item() == pytest.approx(1.0, abs=1e-6)


def test_small_gradients_are_not_touched() -> None:
    (p,) = with_gradients(np.array([0.3, 0.4]))
    assert mg.optim.clip_grad_norm_(iter([p]), 1.0).item() == pytest.approx(0.5)
    assert p.grad.tolist() == [0.3, 0.4] and p.grad.version[0] == 0


def test_large_float32_gradients_do_not_overflow() -> None:
    (p,) = with_gradients(np.array([3e30, 4e30], np.float32))
    norm = mg.optim.clip_grad_norm_(p, 1.0)
    assert norm.dtype == np.float32 and norm.item() == pytest.approx(5e30, rel=1e-6)
    np.testing.assert_allclose(p.grad.array, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_norm_that_is_not_finite(bad: float, norm_type: float) -> None:
    (p,) = with_gradients(np.array([1.0, bad, 2.0]))
    with pytest.raises(RuntimeError, match=str(bad)):
        mg.optim.clip_grad_norm_(p, 1.0, norm_type, error_if_nonfinite=True)
    np.testing.assert_array_equal(p.grad.array, [1.0, bad, 2.0])
    assert not math.isfinite(mg.optim.clip_grad_norm_(p, 1.0, norm_type).item())
    assert np.isnan(p.grad.array[1])


def test_total_norm_of_nothing_and_of_strided_memory() -> None:
    assert mg.optim.get_total_norm([]).item() == 0
    assert mg.optim.clip_grad_norm_([], 1.0).item() == 0
    for norm_type in (1.0, 2.0, math.inf):
        assert mg.optim.get_total_norm(mg.zeros(0, 3), norm_type).item() == 0
    array = np.arange(24.0).reshape(4, 6)[::2, ::3]
    assert mg.optim.get_total_norm(mg.Tensor(array)).item() == pytest.approx(np.linalg.norm(array))
    with pytest.raises(ValueError, match="norm_type"):
        mg.optim.get_total_norm([], 0)


def test_norm_does_not_depend_on_the_number_of_threads() -> None:
    x = np.random.default_rng(0).normal(size=20_001).astype(np.float32)
    sums = [np.empty(-(-x.size // kernels.CHUNK)) for _ in range(2)]
    kernels.square_sums.serial(x, sums[0])
    kernels.square_sums.parallel(x, sums[1])
    np.testing.assert_array_equal(*sums)
    assert sums[0].sum() == pytest.approx((x.astype(np.float64) ** 2).sum(), rel=1e-14)


def test_clip_value() -> None:
    (p,) = with_gradients(np.array([-3.0, 0.5, math.nan, math.inf]))
    mg.optim.clip_grad_value_([p], 1.0)
    np.testing.assert_array_equal(p.grad.array, [-1.0, 0.5, math.nan, 1.0])
    with pytest.raises(ValueError, match="clip_value"):
        mg.optim.clip_grad_value_(p, -1.0)


class Slowing(mg.optim.Optimizer):
    """Steps that shrink: it keeps a number for each parameter, where others keep tensors."""

    def __init__(self, params, lr=1.0):
        super().__init__(params, {"lr": lr})

    def check(self, group):
        self._check_range(group, "lr")

    def options(self, group):
        return group["lr"]

    def update(self, p, x, g, state, options):
        state["rate"] = state.get("rate", options) / 2
        x -= state["rate"] * g


def test_an_optimizer_of_ones_own_that_keeps_a_number_resumes(tmp_path):
    x = mg.zeros(3, requires_grad=True)
    optimizer = Slowing([x])
    x.grad = mg.ones(3)
    optimizer.step()
    mg.save(optimizer.state_dict(), tmp_path / "state")
    twin = Slowing([x])
    twin.load_state_dict(mg.load(tmp_path / "state"))
    twin.step()
    assert twin.state[x]["rate"] == 0.25 and x.tolist() == [-0.75] * 3


@pytest.mark.parametrize("state", [None, {}, {"state": {}}, "state.npz"])
def test_loading_what_is_no_optimizers_state(state):
    with pytest.raises(TypeError, match=r"SGD.load_state_dict: expected a dictionary with"):
        mg.optim.SGD([mg.zeros(1, requires_grad=True)]).load_state_dict(state)


def test_an_optimizer_of_ones_own_needs_no_more_than_an_update():
    class Descent(mg.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def update(self, p, x, g, state, options):
            x -= options["lr"] * g

    x = mg.tensor([4.0], requires_grad=True)
    optimizer = Descent([x], lr=0.5)
    (x * 2).sum().backward()
    optimizer.step()
    assert x.tolist() == [3.0]

    class Nothing(mg.optim.Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing defines no update"):
        Nothing([x], {}).step()


def test_what_stands_in_for_a_norm_does_not_decay_either() -> None:
    shape = (3, 4)
    for layer in (mg.nn.DynamicTanh(shape), mg.nn.DynamicErf(shape), mg.nn.ConditionalBatchNorm1d(3, num_classes=5)):
        (only,) = mg.optim.weight_decay_groups(layer, 0.1)
        assert only["weight_decay"] == 0.0
    decaying, _ = mg.optim.weight_decay_groups(mg.nn.ConditionalBatchNorm1d(3, condition_features=5), 0.1)
    assert [name for name, _ in decaying["params"]] == ["mlp.0.weight", "mlp.2.weight"]
