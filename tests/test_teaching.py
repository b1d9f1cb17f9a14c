"""Programs as courses and books write them for PyTorch, and the names that they use."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.autograd import gradcheck, gradgradcheck


def leaf(values):
    return mg.tensor(np.array(values, np.float64), requires_grad=True)


# -- x.data -----------------------------------------------------------------------------------------------

STEPS = {
    "-=": lambda p: exec("p.data -= 0.1 * p.grad", {"p": p}),
    "+= -": lambda p: exec("p.data += -0.1 * p.grad", {"p": p}),
    "sub_": lambda p: p.data.sub_(0.1 * p.grad),
    "sub_ of data": lambda p: p.data.sub_(p.grad.data * 0.1),
    "add_ alpha": lambda p: p.data.add_(p.grad, alpha=-0.1),
    "assigned": lambda p: setattr(p, "data", p.data - 0.1 * p.grad),
    "assigned with a graph": lambda p: setattr(p, "data", p - 0.1 * p.grad),
    "-= with a graph": lambda p: exec("p.data -= 0.1 * (p.grad + 0 * p)", {"p": p}),
    "assigned array": lambda p: setattr(p, "data", p.detach().numpy() - 0.1 * p.grad.numpy()),
    "copy_": lambda p: p.data.copy_(p - 0.1 * p.grad),
    "elements": lambda p: p.data.__setitem__(slice(None), p - 0.1 * p.grad),
    "of an array": lambda p: exec("p.data -= 0.1 * p.grad.numpy()", {"p": p}),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_gradient_descent_by_hand(name):
    p = leaf([[1.0, -2.0], [0.5, 3.0]])
    for _ in range(3):
        p.grad = None
        (p * p * p).sum().backward()
        STEPS[name](p)
    expected = np.array([[1.0, -2.0], [0.5, 3.0]])
    for _ in range(3):
        expected = expected - 0.1 * 3 * expected**2
    np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12)
    assert p.is_leaf and p.requires_grad and p.dtype == np.float64


def test_data_is_a_tensor_without_a_graph_in_the_same_memory():
    x = leaf([3.0, -4.0, 12.0])
    y = x * 2
    d = y.data
    assert isinstance(d, mg.Tensor) and not d.requires_grad and d.is_leaf
    assert np.shares_memory(d.numpy(), y.array)
    assert d.std().item() == pytest.approx(y.array.std(ddof=1)) and d.norm().item() == pytest.approx(26)
    d[0] = 100.0
    d.view(3, 1)[1] = x[0]  # also through a view of it, and of something that has a graph
    assert y.tolist() == [100.0, 3.0, 24.0] and not d.requires_grad
    y.sum().backward()  # the graph did not notice
    assert x.grad.tolist() == [2, 2, 2]
    x.grad.data.zero_()
    assert x.grad.tolist() == [0, 0, 0]


def test_setting_data_exchanges_the_values():
    x = mg.ones(3, requires_grad=True)
    x.data = mg.arange(2).double()
    assert x.tolist() == [0, 1] and x.dtype == np.float64 and x.requires_grad
    with pytest.raises(TypeError, match="data: this tensor requires a gradient, and int64 has none"):
        x.data = mg.arange(2)
    with pytest.raises(TypeError, match="complex128"):
        x.data = np.ones(2, complex)
    shown = x.data
    shown.data = mg.full((2,), 7.0)
    x.data = shown
    assert x.tolist() == [7, 7] and x.dtype == np.float32
    layer = nn.Linear(2, 1)
    layer.weight.data.fill_(0.5)
    layer.bias.data.zero_()
    nn.init.constant_(layer.weight.data, 2.0)
    assert isinstance(layer.weight, nn.Parameter) and layer(mg.ones(1, 2)).item() == 4


def test_a_step_by_data_leaves_the_array_of_the_leaf_in_place():
    """The recorded backward pass finds a leaf by its array."""
    x = leaf([2.0])
    y = x**3
    x.data *= 1
    (dx,) = mg.grad(y, x, create_graph=True)
    assert mg.grad(dx, x)[0].item() == 12


# -- x[i] = y, recorded -----------------------------------------------------------------------------------

INDICES = [
    1,
    (0, 2),
    (slice(None), 1),
    (slice(None, None, -1), slice(1, 3)),
    (None, 1),
    ...,
    [2, 0],
    [1, 1, 2],
    ([0, 2, 0], [1, 1, 1]),
    (1, [3, 0, 3]),
    (slice(None), [2, 2]),
    np.array([True, False, True]),
    np.arange(12).reshape(3, 4) % 3 == 1,
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_index_assignment_has_every_derivative(index):
    x = leaf(np.random.default_rng(0).standard_normal((3, 4)))
    shape = np.zeros((3, 4))[index].shape
    value = leaf(np.random.default_rng(1).standard_normal(shape))

    def assigned(x, value):
        y = x.sin()
        y[index] = value * value
        return y * x

    plain = np.sin(x.array)
    plain[index] = value.array**2
    np.testing.assert_allclose(assigned(x, value).detach().numpy(), plain * x.array)
    assert gradcheck(assigned, [x, value])
    assert gradgradcheck(assigned, [x, value])
    if shape:
        scalar = leaf(0.7)  # broadcast
        assert gradgradcheck(assigned, [x, scalar])


def test_rows_are_filled_by_a_model():
    mg.manual_seed(0)
    model = nn.Linear(3, 5).double()
    x = mg.randn(4, 3, dtype=mg.float64)
    out = mg.zeros(4, 5, dtype=mg.float64)
    for i in range(4):
        out[i] = model(x[[i]])[0]
    out.pow(2).sum().backward()
    one_by_one = model.weight.grad.numpy().copy()
    model.zero_grad()
    model(x).pow(2).sum().backward()
    np.testing.assert_allclose(one_by_one, model.weight.grad.numpy(), rtol=1e-12)


def test_what_cannot_be_assigned_says_what_to_write():
    w = leaf([1.0, 2.0])
    table = mg.zeros(2, 2, dtype=mg.float64)
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient cannot be changed in place"):
        w[0] = 1.0
    assert table.tolist() == [[0, 0], [0, 0]]
    table[0, 1] = w[0]
    row = (w * 2).view(2, 1)  # a view of something that nobody else can see
    row[1] = 0
    (table.sum() + row.sum()).backward()
    assert w.grad.tolist() == [3, 0]
    with pytest.raises(ValueError, match=r"SetItem: could not broadcast .*float64\[2, 2\], float64\[3\]"):
        table[0] = leaf([1.0, 2.0, 3.0])


def test_a_retained_gradient_is_that_of_the_changed_tensor():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2
    y.retain_grad()
    y[0] = 5.0
    y += 1
    (y * y).sum().backward()
    assert y.grad.tolist() == [12, 10, 14] and x.grad.tolist() == [0, 20, 28]


def test_views_are_copied_as_tensors_of_their_own():
    x = mg.arange(6).float().view(2, 3)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        twin[0] = mg.ones(3, requires_grad=True) * 2
        assert twin[0].tolist() == [2, 2, 2] and x[0].tolist() == [0, 1, 2]


# -- NumPy and tensors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "//", "%", "**", "@", "==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("grad", [False, True])
def test_an_array_on_the_left_makes_a_tensor(op, grad):
    a, b = np.array([1.0, 2.0 if len(op.strip("!=<>")) == 0 else 2.5, 3.0]), np.array([2.0, 2.0, 4.0])
    t = mg.tensor(b, requires_grad=grad)
    found = eval(f"a {op} t", {"a": a, "t": t})
    assert isinstance(found, mg.Tensor)
    np.testing.assert_array_equal(found.detach().numpy(), eval(f"a {op} b", {"a": a, "b": b}))
    if grad and found.dtype.kind == "f" and op != "//":
        assert gradcheck(lambda t: eval(f"a {op} t", {"a": a, "t": t}), [t])


def test_elementwise_functions_of_numpy():
    x = leaf([0.5, 2.0])
    np.exp(np.sqrt(x)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(np.sqrt(x.array)) / (2 * np.sqrt(x.array)))
    d = x.detach()
    assert isinstance(np.hypot(d, 1.0), mg.Tensor) and np.add.reduce(d).item() == 2.5
    for lost in (lambda: np.hypot(x, 1.0), lambda: np.add.reduce(x), lambda: np.add(d, x, out=np.zeros(2))):
        with pytest.raises(RuntimeError, match=r"np\.\w+.*: a tensor that requires a gradient would lose track"):
            lost()
    array = np.ones(2)
    array += d
    assert type(array) is np.ndarray and array.tolist() == [1.5, 3]
    with pytest.raises(TypeError, match=r"np\.negative: a tensor cannot be written by NumPy"):
        np.negative(d, out=d)
    assert x.tolist() == [0.5, 2]


# -- devices, dtypes, printing ----------------------------------------------------------------------------

CREATED = {
    "tensor": lambda device: mg.tensor([1.0], device=device),
    "as_tensor": lambda device: mg.as_tensor([1.0], device=device),
    "zeros": lambda device: mg.zeros(2, device=device),
    "ones": lambda device: mg.ones(2, device=device),
    "empty": lambda device: mg.empty(2, device=device),
    "full": lambda device: mg.full((2,), 1.0, device=device),
    "zeros_like": lambda device: mg.zeros_like(mg.ones(2), device=device),
    "ones_like": lambda device: mg.ones_like(mg.ones(2), device=device),
    "empty_like": lambda device: mg.empty_like(mg.ones(2), device=device),
    "full_like": lambda device: mg.full_like(mg.ones(2), 1.0, device=device),
    "eye": lambda device: mg.eye(2, device=device),
    "arange": lambda device: mg.arange(2, device=device),
    "linspace": lambda device: mg.linspace(0, 1, 2, device=device),
    "logspace": lambda device: mg.logspace(0, 1, 2, device=device),
    "rand": lambda device: mg.rand(2, device=device),
    "randn": lambda device: mg.randn(2, device=device),
    "rand_like": lambda device: mg.rand_like(mg.ones(2), device=device),
    "randn_like": lambda device: mg.randn_like(mg.ones(2), device=device),
    "randint": lambda device: mg.randint(3, (2,), device=device),
    "randperm": lambda device: mg.randperm(3, device=device),
    "normal": lambda device: mg.normal(0, 1, (2,), device=device),
    "new_zeros": lambda device: mg.ones(1).new_zeros(2, device=device),
    "new_ones": lambda device: mg.ones(1).new_ones(2, device=device),
    "new_full": lambda device: mg.ones(1).new_full((2,), 1.0, device=device),
    "new_tensor": lambda device: mg.ones(1).new_tensor([1], device=device),
    "to": lambda device: mg.ones(2).to(device),
    "to, by keyword": lambda device: mg.ones(2).to(device=device, dtype=mg.float64),
    "Generator": lambda device: mg.Generator(device=device),
}


@pytest.mark.parametrize("name", CREATED)
def test_every_device_is_the_cpu(name):
    for device in ("cpu", "cpu:0", mg.device("cpu"), None):
        assert CREATED[name](device).device == mg.device("cpu")
    owner = name.split(",")[0].replace("new_", "").replace("_like", "")
    for device in ("cuda", "cuda:1", "mps", "gpu", 0, "cpu:1"):
        with pytest.raises(RuntimeError, match=rf"^{owner}: device .* computes on the CPU only"):
            CREATED[name](device)


def test_the_device_object():
    cpu = mg.device("cpu")
    assert (str(cpu), repr(cpu), cpu.type, cpu.index) == ("cpu", "device(type='cpu')", "cpu", None)
    assert repr(mg.device("cpu", 0)) == repr(mg.device("cpu:0")) == "device(type='cpu', index=0)"
    assert cpu == mg.device(cpu) and cpu != mg.device("cpu:0") and cpu != "cpu" and len({cpu, mg.device("cpu")}) == 1
    assert copy.deepcopy(cpu) == pickle.loads(pickle.dumps(cpu)) == cpu
    with cpu:
        assert mg.ones(1).cpu().device == cpu and not mg.ones(1).is_cuda
    assert (
        str(mg.device("cuda" if mg.cuda.is_available() else "mps" if mg.backends.mps.is_available() else "cpu"))
        == "cpu"
    )
    assert mg.cuda.device_count() == 0 and not mg.accelerator.is_available()
    mg.backends.cudnn.deterministic = True
    mg.cuda.manual_seed_all(0)
    with pytest.raises(RuntimeError, match="computes on the CPU only"):
        mg.ones(1).cuda()
    with pytest.raises(AttributeError, match=r"mg\.cuda\.Stream: minigrad computes on the CPU only"):
        _ = mg.cuda.Stream
    with pytest.raises(AttributeError):
        cpu.type = "cuda"


def test_the_forms_of_to_and_type():
    x = mg.ones(2)
    for same in (x.to("cpu"), x.to(mg.float32), x.to(mg.device("cpu"), mg.float32), x.to(x), x.cpu(), x.float()):
        assert same is x
    for wide in (
        x.to(mg.float64),
        x.to("float64"),
        x.to("cpu", mg.float64),
        x.to("cpu", dtype=mg.float64),
        x.to(mg.float64, True, True),
        x.to(mg.zeros(1, dtype=mg.float64)),
        x.to(other=mg.zeros(1, dtype=mg.float64)),
        x.to(np.float64),
        x.to(dtype=mg.float64, device="cpu", non_blocking=True, copy=False),
        x.type(mg.float64),
        x.type(mg.DoubleTensor),
        x.type("torch.DoubleTensor"),
        x.type_as(mg.zeros(1, dtype=mg.float64)),
    ):
        assert wide.dtype == np.float64 and wide.tolist() == [1, 1]
    assert x.to("cpu", copy=True) is not x and not np.shares_memory(x.to(mg.float32, copy=True).numpy(), x.numpy())
    assert (x.type(), x.long().type()) == ("minigrad.FloatTensor", "minigrad.LongTensor")
    w = mg.ones(2, requires_grad=True)
    w.to("cpu", mg.float64).sum().backward()
    assert w.grad.tolist() == [1, 1]
    with pytest.raises(TypeError, match="to: unknown argument 'dtyp'"):
        x.to(dtyp=mg.float64)
    with pytest.raises(ValueError, match=r"type: 'torch.cuda.FloatTensor' is not a known type"):
        x.type("torch.cuda.FloatTensor")


def test_tensors_of_one_dtype():
    kinds = {
        "Float": np.float32,
        "Double": np.float64,
        "Int": np.int32,
        "Long": np.int64,
        "Bool": np.bool_,
        "Byte": np.uint8,
    }
    for name, dtype in kinds.items():
        kind = getattr(mg, f"{name}Tensor")
        assert kind([0, 1]).dtype == kind(2, 3).dtype == kind(mg.ones(2)).dtype == kind(np.ones(2)).dtype == dtype
        assert kind(2, 3).shape == (2, 3) and kind().shape == (0,) and isinstance(kind([1]), kind)
    assert not isinstance(mg.ones(1), mg.LongTensor) and not isinstance(np.ones(1), mg.DoubleTensor)
    assert mg.Tensor([1, 2]).dtype == mg.Tensor(2, 3, 4).dtype == np.float32
    assert mg.Tensor(5).shape == (5,) and mg.Tensor(2, 3, 4).shape == (2, 3, 4)
    assert (mg.ones(1).short().dtype, mg.ones(1).byte().dtype, mg.int8) == (np.int16, np.uint8, np.int8)
    assert mg.autograd.Variable(mg.ones(2), requires_grad=True).requires_grad


def test_facts_about_a_tensor():
    x = mg.zeros(2, 3, 4, dtype=mg.float64)
    assert x.nelement() == x.numel() == mg.numel(x) == 24 and x.element_size() == 8 and x.nbytes == 192
    assert (
        x.stride() == (12, 4, 1) and x.stride(1) == 4 and x.is_contiguous() and not x.permute(2, 0, 1).is_contiguous()
    )
    assert x.ndimension() == 3 and x.data_ptr() == x.data.data_ptr() != x.clone().data_ptr()


def test_printing_can_be_set():
    try:
        mg.set_printoptions(precision=2, sci_mode=False)
        assert repr(mg.tensor([3.14159])) == "tensor([3.14])"
        mg.set_printoptions(threshold=3, edgeitems=1)
        assert repr(mg.arange(9)) == "tensor([0, ..., 8])"
        with pytest.raises(ValueError, match="profile"):
            mg.set_printoptions(profile="long")
    finally:
        mg.set_printoptions(profile="default")
    assert repr(mg.tensor([3.14159])) == "tensor([3.1416])"


# -- random numbers ---------------------------------------------------------------------------------------

DRAWN = {
    "rand": lambda g: mg.rand(5, generator=g),
    "randn": lambda g: mg.randn(5, generator=g),
    "rand_like": lambda g: mg.rand_like(mg.ones(5), generator=g),
    "randn_like": lambda g: mg.randn_like(mg.ones(5), generator=g),
    "randint": lambda g: mg.randint(0, 1000, (5,), generator=g),
    "randint_like": lambda g: mg.randint_like(mg.ones(5), 1000, generator=g),
    "randperm": lambda g: mg.randperm(20, generator=g),
    "normal": lambda g: mg.normal(mg.zeros(5), 1.0, generator=g),
    "bernoulli": lambda g: mg.bernoulli(mg.full((40,), 0.5), generator=g),
    "multinomial": lambda g: mg.multinomial(mg.ones(9), 9, generator=g),
    "multinomial, again": lambda g: mg.multinomial(mg.ones(9), 30, True, generator=g),
    "normal_": lambda g: mg.empty(5).normal_(1, 2, generator=g),
    "uniform_": lambda g: mg.empty(5).uniform_(-1, 1, generator=g),
    "bernoulli_": lambda g: mg.empty(40).bernoulli_(0.5, generator=g),
    "exponential_": lambda g: mg.empty(5).exponential_(generator=g),
    "random_": lambda g: mg.empty(5).random_(1000, generator=g),
    **{
        f"init.{name}": lambda g, name=name, args=args: getattr(nn.init, name)(mg.empty(4, 5), *args, generator=g)
        for name, args in {
            "uniform_": (), "normal_": (), "trunc_normal_": (), "xavier_uniform_": (), "xavier_normal_": (),
            "kaiming_uniform_": (), "kaiming_normal_": (), "lecun_normal_": (), "lecun_uniform_": (),
            "orthogonal_": (), "sparse_": (0.5,),
        }.items()
    },
    "random_split": lambda g: mg.tensor(mg.data.random_split(mg.arange(30), [20, 10], generator=g)[0].indices),
    "DataLoader": lambda g: next(iter(mg.data.DataLoader(mg.arange(30), 30, shuffle=True, generator=g))),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_a_generator_is_a_stream_of_its_own(name):
    draw, g = DRAWN[name], mg.Generator().manual_seed(3)
    mg.manual_seed(0)
    before = mg.get_rng_state()
    first, second = draw(g).tolist(), draw(g).tolist()
    assert mg.get_rng_state() == before  # the framework's own numbers were not touched
    assert first != second
    mg.manual_seed(17)
    assert draw(g.manual_seed(3)).tolist() == first
    assert draw(np.random.default_rng(3)).tolist() == first  # a NumPy generator serves too
    assert draw(None).tolist() == draw(mg.Generator().manual_seed(17)).tolist()
    with pytest.raises(TypeError, match=r"generator: must be an mg\.Generator or a NumPy generator, not a int"):
        draw(3)


BAD_STATES = [None, 3, "PCG64", [], {}, {"state": 1}, {"bit_generator": "PCG64"}]
for bad in (None, -1, 2**128, 1.5, "1", True, [1], math.nan):
    for name in ("state", "inc", "has_uint32", "uinteger"):
        inner = {"state": 1, "inc": 3} | ({name: bad} if name in ("state", "inc") else {})
        outer = {"bit_generator": "PCG64", "state": inner, "has_uint32": 0, "uinteger": 0}
        BAD_STATES.append(outer | ({} if name in ("state", "inc") else {name: bad}))


@pytest.mark.parametrize("state", BAD_STATES, ids=lambda state: "state")
def test_a_generator_refuses_junk_and_stays_as_it_was(state):
    g = mg.Generator()
    before = g.get_state()
    with pytest.raises(ValueError, match="set_state: expected a state that get_state gave"):
        g.set_state(state)
    assert g.get_state() == before


def test_a_generator_remembers_its_seed_and_state():
    g = mg.Generator()
    assert g.manual_seed(5) is g and g.initial_seed() == 5
    state, twin = g.get_state(), g.clone_state()
    first = mg.randn(4, generator=g).tolist()
    assert mg.randn(4, generator=twin).tolist() == first == mg.randn(4, generator=g.set_state(state)).tolist()
    assert mg.randn(3, generator=mg.Generator()).tolist() == mg.randn(3, generator=mg.Generator()).tolist()
    assert g.seed() == g.initial_seed() and g.seed() != g.seed()
    assert mg.manual_seed(9) is mg.default_generator and mg.initial_seed() == 9
    assert g.manual_seed(-1).initial_seed() == 2**64 - 1
    with pytest.raises(TypeError, match="manual_seed: the seed must be an integer"):
        g.manual_seed(1.5)


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_draws_with_the_given_probabilities(replacement):
    g = mg.Generator().manual_seed(0)
    weights = mg.tensor([[1.0, 0.0, 3.0, 4.0, 0.0], [0.0, 2.0, 2.0, 0.0, 0.0]])
    counts = np.zeros((2, 5))
    for _ in range(40):
        drawn = mg.multinomial(weights.repeat(50, 1), 2, replacement, generator=g)
        assert drawn.shape == (100, 2) and drawn.dtype == np.int64
        for row in (0, 1):
            counts[row] += np.bincount(drawn.numpy()[row::2, 0], minlength=5)
            if not replacement:
                assert (drawn.numpy()[:, 0] != drawn.numpy()[:, 1]).all()
    probabilities = weights.numpy() / weights.numpy().sum(1, keepdims=True)
    deviation = np.sqrt(2000 * probabilities * (1 - probabilities))
    assert (np.abs(counts - 2000 * probabilities) <= 4 * deviation).all()


def test_multinomial_draws_the_second_without_replacement_from_what_is_left():
    g = mg.Generator().manual_seed(1)
    drawn = mg.multinomial(mg.tensor([[5.0, 3.0, 2.0]]).repeat(20000, 1), 2, generator=g).numpy()
    second = np.bincount(drawn[drawn[:, 0] == 0, 1], minlength=3) / (drawn[:, 0] == 0).sum()
    np.testing.assert_allclose(second, [0, 0.6, 0.4], atol=0.02)
    assert sorted(mg.multinomial(mg.ones(6), 6).tolist()) == list(range(6))


@pytest.mark.parametrize(
    ("weights", "n", "message"),
    [
        ([1.0, -1.0], 1, "every weight must be at least 0 and finite"),
        ([1.0, float("nan")], 1, "finite"),
        ([1.0, float("inf")], 1, "finite"),
        ([0.0, 0.0], 1, "row 0 has no positive weight"),
        ([[1.0], [0.0]], 1, "row 1 has no positive weight"),
        ([1.0, 1.0], 3, "3 samples without replacement need as many positive weights, and row 0 has 2"),
        ([1.0, 0.0], 2, "row 0 has 1"),
        ([1.0], 0, "num_samples must be at least 1"),
        (1.0, 1, "must be"),
        ([], 1, "must be"),
        ([1, 1], 1, "must be floating-point, got int64"),
    ],
)
def test_multinomial_refuses(weights, n, message):
    with pytest.raises((ValueError, TypeError), match=f"multinomial: .*{message}"):
        mg.multinomial(mg.tensor(weights), n)


# -- switches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", [mg.no_grad, mg.inference_mode, mg.enable_grad])
def test_a_decorator_needs_no_brackets(switch):
    wanted = switch is mg.enable_grad

    @switch
    def bare(x):
        """Doubles."""
        return x * 2

    @switch()
    def with_brackets(x):
        return x * 2

    @switch
    def steps(x):
        yield (x * 2).requires_grad

    x = leaf([1.0])
    with mg.set_grad_enabled(not wanted):
        assert bare(x).requires_grad == with_brackets(x).requires_grad == next(steps(x)) == wanted
        assert mg.is_grad_enabled() != wanted
        with switch():
            assert mg.is_grad_enabled() == wanted
    assert bare.__name__ == "bare" and bare.__doc__ == "Doubles."
    if switch is not mg.inference_mode:
        with pytest.raises(TypeError, match="takes a function to decorate"):
            switch(3)
    with mg.inference_mode(False):
        assert mg.is_grad_enabled()


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.softmin])
def test_softmax_without_an_axis_warns_and_takes_pytorchs(function):
    layer = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax, "softmin": nn.Softmin}[function.__name__]()
    for shape, axis in (((), 0), ((4,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 2), 1)):
        x = mg.randn(*shape)
        with pytest.warns(UserWarning, match=rf"{function.__name__}: no dim is given, so dim={axis} is taken"):
            y = function(x)
        with pytest.warns(UserWarning, match=f"dim={axis}"):
            assert mg.equal(layer(x), y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert mg.equal(y, function(x, dim=axis))


# -- counting and placing ---------------------------------------------------------------------------------


def test_scatter_of_a_larger_source_and_of_repeated_places():
    x, src = leaf(np.zeros((3, 4))), leaf(np.arange(1.0, 13.0).reshape(3, 4))
    index = mg.tensor([[0, 0], [1, 3]])
    assert x.scatter(1, index, src).tolist() == [[2, 0, 0, 0], [0, 5, 0, 6], [0, 0, 0, 0]]
    for reduce in (None, "add", "multiply"):
        scattered = lambda x, src, reduce=reduce: ((x + 2).scatter(1, index, src, reduce=reduce)) ** 2  # noqa: E731
        assert gradcheck(scattered, [x, src]) and gradgradcheck(scattered, [x, src])
    product = mg.full((1, 3), 2.0).scatter(
        1, mg.tensor([[1, 1, 1, 0]]), mg.tensor([[3.0, 5.0, 7.0, 11.0]]), reduce="multiply"
    )
    assert product.tolist() == [[22, 210, 2]]
    for wrong, message in (
        (lambda: x.scatter(1, index), "either src or value"),
        (lambda: x.scatter(1, index, src, reduce="mean"), "reduce must be"),
        (lambda: x.scatter(1, mg.tensor([[4]]), 1.0), "index 4 is out of range for axis 1"),
        (lambda: x.scatter(1, mg.tensor([[0.5]]), 1.0), "index must hold integers"),
        (lambda: x.scatter(0, mg.tensor([[0], [1]]), mg.ones(1, 1)), "src of shape"),
    ):
        with pytest.raises((ValueError, TypeError, IndexError), match=f"scatter: .*{message}"):
            wrong()


def test_counts_are_numpys():
    rng = np.random.default_rng(0)
    numbers, floats = rng.integers(0, 7, 200), rng.standard_normal(200).astype(np.float32)
    values, inverse, counts = mg.unique(mg.tensor(numbers.reshape(20, 10)), return_inverse=True, return_counts=True)
    assert (
        values.tolist() == sorted(set(numbers.tolist())) and (values[inverse].numpy() == numbers.reshape(20, 10)).all()
    )
    assert counts.tolist() == mg.bincount(mg.tensor(numbers)).tolist() == np.bincount(numbers).tolist()
    assert mg.histc(mg.tensor(floats), 10, -1, 1).tolist() == np.histogram(floats, 10, (-1, 1))[0].tolist()
    hist, edges = mg.histogram(mg.tensor(floats, requires_grad=True), density=True)
    assert hist.shape == (100,) and (hist * edges.diff()).sum().item() == pytest.approx(1, rel=1e-5)
    assert mg.unique(mg.tensor([float("nan"), 1.0, float("nan")])).numel() == 3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: mg.bincount(mg.tensor([0, -1])), "bincount: .*holds -1"),
        (lambda: mg.bincount(mg.ones(2)), "bincount: .*not float32"),
        (lambda: mg.bincount(mg.zeros(2, 2).long()), r"bincount: .*\(2, 2\)"),
        (lambda: mg.bincount(mg.arange(2), mg.ones(3)), "bincount: weights of shape"),
        (lambda: mg.histc(mg.arange(3)), "histc: .*int64"),
        (lambda: mg.histc(mg.tensor([1.0, float("nan")])), "histc: the range .* not finite"),
        (lambda: mg.histc(mg.ones(3), 4, 2, 1), "histc: the range from 2 to 1 is empty"),
        (lambda: mg.histogram(mg.ones(3), 0), "histogram: bins must be at least 1"),
        (lambda: mg.histogram(mg.ones(3), mg.tensor([1.0, 0.0])), "histogram: bins must be a number, or"),
        (lambda: mg.ones(3).div(2, rounding_mode="up"), "div: rounding_mode must be"),
        (lambda: mg.tensor([1]).div(0, rounding_mode="trunc"), "divided by 0"),
        (lambda: mg.cdist(mg.ones(2, 3), mg.ones(2, 4)), "cdist: .*equally long"),
        (lambda: mg.unique(mg.ones(2), dim=1), "unique: axis 1 is out of range"),
    ],
)
def test_errors_name_the_op(function, message):
    with pytest.raises((ValueError, TypeError, IndexError, ZeroDivisionError), match=message):
        function()


def test_distances_differences_and_where_they_are():
    a, b = (
        leaf(np.random.default_rng(0).standard_normal((2, 3, 4))),
        leaf(np.random.default_rng(1).standard_normal((5, 4))),
    )
    for p in (1.0, 2.0, 3.0):
        expected = (np.abs(a.array[:, :, None] - b.array) ** p).sum(-1) ** (1 / p)
        np.testing.assert_allclose(mg.cdist(a, b, p).detach().numpy(), expected)
        assert gradcheck(lambda a, b, p=p: mg.cdist(a, b, p), [a, b])
    assert gradcheck(lambda a: a.diff(2, dim=1), [a])
    np.testing.assert_array_equal(mg.diff(a, 2, 1).detach().numpy(), np.diff(a.array, 2, 1))
    assert mg.diff(mg.tensor([3, 1]), prepend=mg.tensor([0]), append=mg.tensor([9])).tolist() == [3, -2, 8]
    assert mg.nonzero(mg.eye(2)).tolist() == [[0, 0], [1, 1]] and mg.tensor(0).nonzero().shape == (0, 0)
    assert [i.tolist() for i in mg.nonzero(mg.eye(2), as_tuple=True)] == [[0, 1], [0, 1]]
    assert gradcheck(lambda x: x.sigmoid().logit(), [b]) and mg.logit(mg.tensor(2.0), eps=0.1).item() == pytest.approx(
        2.1972246
    )


def test_rows_times_one_matrix_are_one_product():
    """The gradient of the matrix needs no matrix for every batch: memory, and time."""
    x, w = (
        leaf(np.random.default_rng(0).standard_normal((3, 2, 4))),
        leaf(np.random.default_rng(1).standard_normal((4, 5))),
    )
    np.testing.assert_allclose((x @ w).detach().numpy(), np.matmul(x.array, w.array), rtol=1e-12)
    assert gradcheck(lambda x, w: x @ w, [x, w]) and gradgradcheck(lambda x, w: (x @ w) ** 2, [x, w])
    for shape in ((0, 2, 4), (2, 0, 4), (3, 2, 0)):
        assert (mg.zeros(shape) @ mg.zeros(shape[-1], 5)).shape == (*shape[:-1], 5)


# -- whole programs ---------------------------------------------------------------------------------------

FRUITS = [
    "apple",
    "banana",
    "cherry",
    "damson",
    "elder",
    "fig",
    "grape",
    "lemon",
    "mango",
    "nectarine",
    "olive",
    "papaya",
    "quince",
    "raisin",
]


def pairs():
    letters = {c: i + 1 for i, c in enumerate(sorted(set("".join(FRUITS))))} | {".": 0}
    return [(letters[a], letters[b]) for word in FRUITS for a, b in zip("." + word, word + ".", strict=True)], len(
        letters
    )


def test_a_table_of_pairs_and_words_drawn_from_it():
    found, n = pairs()
    counts = mg.zeros((n, n), dtype=mg.int32)
    for i, j in found:
        counts[i, j] += 1
    expected = np.zeros((n, n))
    np.add.at(expected, tuple(np.transpose(found)), 1)
    assert counts.tolist() == expected.tolist()
    table = (counts + 1).float()
    table /= table.sum(1, keepdims=True)
    np.testing.assert_allclose(table.numpy(), (expected + 1) / (expected + 1).sum(1, keepdims=True), rtol=1e-6)
    nll = 0.0
    for i, j in found:
        nll += -table[i, j].log()
    assert f"{nll / len(found):.4f}" == f"{-np.log(table.numpy()[tuple(np.transpose(found))]).mean():.4f}"
    words = []
    for _ in range(2):
        g, word, at = mg.Generator().manual_seed(99), [], 0
        while True:
            at = mg.multinomial(table[at], num_samples=1, replacement=True, generator=g).item()
            word.append(at)
            if at == 0:
                break
        words.append(word)
    assert words[0] == words[1]


def test_the_same_table_by_gradient_descent():
    found, n = pairs()
    xs, ys = mg.tensor([i for i, _ in found]), mg.tensor([j for _, j in found])
    weight = mg.randn((n, n), generator=mg.Generator().manual_seed(1), requires_grad=True)
    plain, losses = weight.detach().numpy().astype(np.float64), []
    for _ in range(20):
        counts = (F.one_hot(xs, num_classes=n).float() @ weight).exp()
        probs = counts / counts.sum(1, keepdims=True)
        loss = -probs[mg.arange(xs.nelement()), ys].log().mean() + 0.01 * (weight**2).mean()
        losses.append(loss.item())
        weight.grad = None
        loss.backward()
        weight.data += -5 * weight.grad
        p = np.exp(plain[xs.numpy()])
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(found)), ys.numpy()] -= 1
        gradient = np.zeros((n, n))
        np.add.at(gradient, xs.numpy(), p / len(found))
        plain -= 5 * (gradient + 0.02 * plain / n**2)
    assert losses[-1] < 0.8 * losses[0]
    np.testing.assert_allclose(weight.detach().numpy(), plain, rtol=1e-3, atol=1e-4)


class Dense:
    """A layer as a course writes it: it keeps its output, and adds the bias in place."""

    def __init__(self, n, m, g):
        self.weight, self.bias = mg.randn((n, m), generator=g) / n**0.5, mg.zeros(m)

    def __call__(self, x):
        self.out = x @ self.weight
        self.out += self.bias
        return self.out

    def parameters(self):
        return [self.weight, self.bias]


def test_layers_by_hand_with_statistics_of_every_step():
    g = mg.Generator().manual_seed(2)
    layers, running = [Dense(4, 8, g), Dense(8, 3, g)], mg.zeros(8)
    with mg.no_grad():
        layers[-1].weight *= 0.1
    parameters = [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        p.requires_grad = True
    assert sum(p.nelement() for p in parameters) == 4 * 8 + 8 + 8 * 3 + 3
    x, y = mg.randn((64, 4), generator=g), mg.randint(0, 3, (64,), generator=g)
    ratios, losses = [], []
    for step in range(60):
        at = mg.randint(0, 64, (32,), generator=g)
        hidden = mg.tanh(layers[0](x[at]))
        loss = F.cross_entropy(layers[1](hidden), y[at])
        for layer in layers:
            layer.out.retain_grad()
        for p in parameters:
            p.grad = None
        loss.backward()
        assert layers[0].out.grad.shape == (32, 8)
        np.testing.assert_allclose(layers[1].out.grad.sum(0).numpy(), parameters[3].grad.numpy(), atol=1e-6)
        lr = 0.5 if step < 40 else 0.1
        before = parameters[0].detach().clone()
        for p in parameters:
            p.data += -lr * p.grad
        np.testing.assert_allclose(
            (before - parameters[0].detach()).numpy(), lr * parameters[0].grad.numpy(), atol=1e-6
        )
        with mg.no_grad():
            running = 0.9 * running + 0.1 * hidden.mean(0)
            ratios.append([((lr * p.grad).std() / p.data.std()).log10().item() for p in parameters[::2]])
        losses.append(loss.log10().item())
    assert np.isfinite(ratios).all() and mg.tensor(losses).view(-1, 20).mean(1).shape == (3,)
    assert losses[-1] < losses[0] and not running.requires_grad


def test_a_backward_pass_by_hand_agrees_with_autograd():
    g = mg.Generator().manual_seed(4)
    n, classes = 16, 5
    w = mg.randn((6, classes), generator=g, dtype=mg.float64, requires_grad=True)
    x, y = mg.randn((n, 6), generator=g, dtype=mg.float64), mg.randint(0, classes, (n,), generator=g)
    logits = x @ w
    shifted = logits - logits.max(1, keepdim=True).values
    counts = shifted.exp()
    total = counts.sum(1, keepdims=True)
    logprobs = (counts * total**-1).log()
    loss = -logprobs[range(n), y].mean()
    for t in (logprobs, counts, total, logits):
        t.retain_grad()
    loss.backward()
    d = mg.zeros_like(logprobs)
    d[range(n), y] = -1.0 / n
    assert mg.allclose(d, logprobs.grad)
    dlogits = F.softmax(logits, 1)  # with a graph of its own
    dlogits[range(n), y] -= 1
    dlogits /= n
    assert mg.allclose(dlogits, logits.grad) and (dlogits - logits.grad).abs().max().item() < 1e-12
    assert mg.allclose(x.T @ dlogits, w.grad)
    rows = mg.zeros_like(w)
    for k in range(n):
        rows[y[k] % 6] += dlogits[k].detach()
    expected = np.zeros((6, classes))
    np.add.at(expected, y.numpy() % 6, dlogits.detach().numpy())
    np.testing.assert_allclose(rows.numpy(), expected)


def test_the_forms_of_import():
    import minigrad.nn as layers
    import minigrad.utils.data
    from minigrad.utils.data import DataLoader, TensorDataset

    assert layers is nn and mg.utils.data.DataLoader is DataLoader is mg.data.DataLoader
    assert minigrad.utils.data.TensorDataset is TensorDataset
