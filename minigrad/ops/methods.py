"""The methods and operators of `Tensor`: `x.exp()` is `ops.exp(x)`, `x + y` is `ops.add(x, y)`.

This file is a list of names for readers and type checkers. When it is imported, it adds the functions to the class
`Tensor`: as attributes of the class they are methods, and their first argument is the tensor.
"""

from typing import Any

import numpy as np

from minigrad.autograd.tensor import Tensor
from minigrad.ops import (
    activation,
    compare,
    counting,
    creation,
    device,
    elementwise,
    extrema,
    indexing,
    linalg,
    power,
    random,
    reduction,
    scan,
    shape,
    unary,
    views,
)


def in_place(function: Any) -> Any:
    """Make `x.exp_()` from `x.exp()`: the result is written into the tensor, or recorded as a change of it."""
    name = f"{function.__name__}_"

    def change(self: Any, *args: Any, **options: Any) -> Any:
        if any(self._is_recorded_with(a) for a in (self, *args, *options.values())):
            return self._become(name, elementwise.cast(function(self, *args, **options), self.dtype))
        result = function(self.detach(), *args, **options)
        if result.shape != self.shape:
            raise ValueError(f"{name}: the result has shape {result.shape}, which does not fit into {self.shape}")
        return self._change(name, lambda x, y: np.copyto(x, y, casting="same_kind"), result.detach())

    change.__name__ = name
    change.__doc__ = f"`{function.__name__}`, in place."
    return change


def random_in_place(name: str, draw: Any, doc: str) -> Any:
    """Fill a tensor with random numbers; `draw(x, rng, ...)` gives them."""

    def fill(self: Any, *args: Any, generator: Any = None, **options: Any) -> Any:
        values = draw(self, random.generator(generator), *args, **options)
        return self._change(name, lambda x, y: np.copyto(x, y, casting="unsafe"), np.asarray(values))

    fill.__name__, fill.__doc__ = name, doc
    return fill


def _integers(x: Any, rng: Any, low: Any = None, high: Any = None) -> Any:
    """From 0 to the largest integer that the dtype holds exactly; `random_(high)`; or `random_(low, high)`."""
    if high is None:
        largest = 2 ** (np.finfo(x.dtype).nmant + 1) + 1 if x.dtype.kind == "f" else np.iinfo(x.dtype).max
        low, high = 0, largest if low is None else low
    return rng.integers(low, high, x.shape)


class Methods:
    # -- operators ---------------------------------------------------------------------------------------

    __add__ = elementwise.add
    __radd__ = elementwise.add
    __sub__ = elementwise.sub
    __mul__ = elementwise.mul
    __rmul__ = elementwise.mul
    __truediv__ = elementwise.div
    __floordiv__ = elementwise.floor_divide
    __mod__ = elementwise.remainder
    __pow__ = power.pow
    __matmul__ = linalg.matmul
    __neg__ = elementwise.neg
    __abs__ = unary.abs
    __round__ = unary.round
    _become = views.become
    __hash__ = object.__hash__  # a class that defines == must also define its hash: by identity
    __eq__ = compare.eq
    __ne__ = compare.ne
    __lt__ = compare.lt
    __le__ = compare.le
    __gt__ = compare.gt
    __ge__ = compare.ge
    __and__ = __rand__ = compare.bitwise_and
    __or__ = __ror__ = compare.bitwise_or
    __xor__ = __rxor__ = compare.bitwise_xor
    __invert__ = compare.bitwise_not

    def __pos__(self) -> Any:
        return self

    def __rsub__(self, other: Any) -> Any:
        return elementwise.sub(other, self)

    def __rtruediv__(self, other: Any) -> Any:
        return elementwise.div(other, self)

    def __rfloordiv__(self, other: Any) -> Any:
        return elementwise.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Any:
        return elementwise.remainder(other, self)

    def __rpow__(self, other: Any) -> Any:
        return power.pow(other, self)

    def __rmatmul__(self, other: Any) -> Any:
        return linalg.matmul(other, self)

    # -- dtypes ------------------------------------------------------------------------------------------

    astype = elementwise.cast
    is_floating_point = creation.is_floating_point
    to = elementwise.to
    type_as = elementwise.type_as
    type = creation.type_of
    cpu = elementwise.cpu
    cuda = elementwise.cuda
    is_cuda = property(lambda self: False, doc="Always False.")
    device = property(lambda self: device.CPU, doc="Where it is: the CPU.")
    float = elementwise.to_float
    double = elementwise.to_double
    int = elementwise.to_int
    long = elementwise.to_long
    short = elementwise.to_short
    byte = elementwise.to_byte
    bool = elementwise.to_bool

    # -- elementwise -------------------------------------------------------------------------------------

    add = elementwise.add
    sub = subtract = elementwise.sub
    mul = multiply = elementwise.mul
    div = divide = true_divide = elementwise.div
    neg = negative = elementwise.neg
    floor_divide = elementwise.floor_divide
    remainder = elementwise.remainder
    lerp = elementwise.lerp
    clone = elementwise.clone
    expand = broadcast_to = elementwise.expand
    pow = power.pow
    square = power.square
    exp = unary.exp
    exp2 = unary.exp2
    expm1 = unary.expm1
    log = unary.log
    log2 = unary.log2
    log10 = unary.log10
    log1p = unary.log1p
    sqrt = unary.sqrt
    rsqrt = unary.rsqrt
    reciprocal = unary.reciprocal
    abs = absolute = unary.abs
    sin = unary.sin
    cos = unary.cos
    tan = unary.tan
    asin = unary.asin
    acos = unary.acos
    atan = unary.atan
    sinh = unary.sinh
    cosh = unary.cosh
    tanh = unary.tanh
    sigmoid = unary.sigmoid
    logit = unary.logit
    erf = unary.erf
    erfc = unary.erfc
    sign = unary.sign
    floor = unary.floor
    ceil = unary.ceil
    trunc = unary.trunc
    round = unary.round

    # -- comparisons, and choices by them ----------------------------------------------------------------

    eq = compare.eq
    ne = compare.ne
    lt = compare.lt
    le = compare.le
    gt = compare.gt
    ge = compare.ge
    logical_and = compare.logical_and
    logical_or = compare.logical_or
    logical_xor = compare.logical_xor
    logical_not = compare.logical_not
    isnan = compare.isnan
    isinf = compare.isinf
    isfinite = compare.isfinite
    isclose = compare.isclose
    allclose = compare.allclose
    equal = compare.equal
    maximum = compare.maximum
    minimum = compare.minimum
    clip = compare.clip
    clamp = compare.clip
    masked_fill = compare.masked_fill
    nonzero = compare.nonzero
    clamp_min = compare.clamp_min
    clamp_max = compare.clamp_max
    clamp_min_ = in_place(compare.clamp_min)
    clamp_max_ = in_place(compare.clamp_max)
    unique = counting.unique
    unique_consecutive = counting.unique_consecutive
    bincount = counting.bincount
    histc = counting.histc
    histogram = counting.histogram
    nan_to_num = compare.nan_to_num

    def where(self, condition: Any, other: Any) -> Any:
        """This tensor where `condition` is true, and `other` elsewhere."""
        return compare.where(condition, self, other)

    # -- reductions --------------------------------------------------------------------------------------

    sum = reduction.sum
    nansum = reduction.nansum
    mean = reduction.mean
    var = reduction.var
    std = reduction.std
    prod = reduction.prod
    logsumexp = reduction.logsumexp
    norm = reduction.norm
    any = reduction.any
    all = reduction.all
    count_nonzero = reduction.count_nonzero
    cumsum = scan.cumsum
    cumprod = scan.cumprod
    max = extrema.max
    min = extrema.min
    amax = extrema.amax
    amin = extrema.amin
    argmax = extrema.argmax
    argmin = extrema.argmin
    sort = extrema.sort
    argsort = extrema.argsort
    topk = extrema.topk
    median = extrema.median

    # -- shape -------------------------------------------------------------------------------------------

    reshape = shape.reshape
    view = shape.view
    view_as = reshape_as = shape.view_as
    flatten = shape.flatten
    unflatten = shape.unflatten
    squeeze = shape.squeeze
    unsqueeze = shape.unsqueeze
    permute = shape.permute
    transpose = shape.transpose
    swapaxes = swapdims = shape.transpose
    movedim = moveaxis = shape.movedim
    t = shape.t
    T = property(shape.reverse_axes)
    mT = property(shape.matrix_transpose)
    split = shape.split
    chunk = shape.chunk
    unbind = shape.unbind
    repeat = shape.repeat
    tile = shape.tile
    repeat_interleave = shape.repeat_interleave
    flip = shape.flip
    roll = shape.roll
    tril = shape.tril
    triu = shape.triu
    diagonal = shape.diagonal
    diag = shape.diag
    diff = shape.diff

    def expand_as(self, other: Any) -> Any:
        """This tensor broadcast to the shape of `other`."""
        return elementwise.expand(self, other.shape)

    def contiguous(self) -> Any:
        """This tensor, or a copy whose elements lie in memory in the order of their indices."""
        tensor: Any = self
        return tensor if tensor.array.flags.c_contiguous else elementwise.clone(tensor)

    # -- indexing ----------------------------------------------------------------------------------------

    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem
    index_select = indexing.index_select
    index_add = indexing.index_add
    gather = indexing.gather
    scatter = indexing.scatter
    scatter_add = indexing.scatter_add
    take_along_dim = indexing.take_along_dim
    masked_select = indexing.masked_select

    # -- linear algebra ----------------------------------------------------------------------------------

    matmul = linalg.matmul
    mm = linalg.mm
    bmm = linalg.bmm
    mv = linalg.mv
    dot = linalg.dot
    outer = linalg.outer
    trace = linalg.trace
    relu = activation.relu
    softmax = activation.softmax
    log_softmax = activation.log_softmax

    # -- made like it --------------------------------------------------------------------------------------

    new_tensor = creation.new_tensor
    new_zeros = creation.new_zeros
    new_ones = creation.new_ones
    new_empty = creation.new_empty
    new_full = creation.new_full
    bernoulli = creation.bernoulli
    multinomial = creation.multinomial

    # -- in place ------------------------------------------------------------------------------------------

    pow_ = in_place(power.pow)
    square_ = in_place(power.square)
    exp_ = in_place(unary.exp)
    log_ = in_place(unary.log)
    sqrt_ = in_place(unary.sqrt)
    rsqrt_ = in_place(unary.rsqrt)
    reciprocal_ = in_place(unary.reciprocal)
    abs_ = in_place(unary.abs)
    neg_ = in_place(elementwise.neg)
    sign_ = in_place(unary.sign)
    floor_ = in_place(unary.floor)
    ceil_ = in_place(unary.ceil)
    round_ = in_place(unary.round)
    trunc_ = in_place(unary.trunc)
    sin_ = in_place(unary.sin)
    cos_ = in_place(unary.cos)
    tanh_ = in_place(unary.tanh)
    sigmoid_ = in_place(unary.sigmoid)
    relu_ = in_place(activation.relu)
    lerp_ = in_place(elementwise.lerp)
    remainder_ = in_place(elementwise.remainder)
    floor_divide_ = in_place(elementwise.floor_divide)
    masked_fill_ = in_place(compare.masked_fill)
    nan_to_num_ = in_place(compare.nan_to_num)
    clip_ = in_place(compare.clip)
    index_add_ = in_place(indexing.index_add)
    scatter_ = in_place(indexing.scatter)
    scatter_add_ = in_place(indexing.scatter_add)
    tril_ = in_place(shape.tril)
    triu_ = in_place(shape.triu)
    cumsum_ = in_place(scan.cumsum)
    addmm = linalg.addmm
    addcmul = elementwise.addcmul
    addcdiv = elementwise.addcdiv
    addcmul_ = in_place(elementwise.addcmul)
    addcdiv_ = in_place(elementwise.addcdiv)

    normal_ = random_in_place(
        "normal_", lambda x, rng, mean=0, std=1: rng.normal(mean, std, x.shape), "Fill with N(mean, std²), in place."
    )
    uniform_ = random_in_place(
        "uniform_",
        lambda x, rng, low=0, high=1, **limits: rng.uniform(limits.get("from", low), limits.get("to", high), x.shape),
        "Fill with numbers that are evenly spread between two limits (default: 0 and 1), in place.",
    )
    bernoulli_ = random_in_place(
        "bernoulli_",
        lambda x, rng, p=0.5: rng.random(x.shape) < np.asarray(getattr(p, "array", p)),
        "Fill with 1 with probability p, and else 0, in place.",
    )
    exponential_ = random_in_place(
        "exponential_", lambda x, rng, lambd=1: rng.exponential(1 / lambd, x.shape), "Fill with λ exp(−λx), in place."
    )
    random_ = random_in_place("random_", _integers, "Fill with random integers, in place. " + str(_integers.__doc__))


for _name, _method in vars(Methods).items():
    if callable(_method) or isinstance(_method, property):
        setattr(Tensor, _name, _method)
