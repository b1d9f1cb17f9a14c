"""The methods and operators of `Tensor`: `x.exp()` is `ops.exp(x)`, `x + y` is `ops.add(x, y)`.

A list of names, for people and type checkers to read. Importing it hands the functions to the class: a
function that is an attribute of a class is a method, and its first argument is the tensor.
"""

from typing import Any

from minigrad.autograd.tensor import Tensor
from minigrad.ops import (
    activation,
    compare,
    creation,
    elementwise,
    extrema,
    indexing,
    linalg,
    power,
    reduction,
    scan,
    shape,
    unary,
)


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
    __hash__ = object.__hash__  # a class that defines == has to say how it is hashed: by identity
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
    type_as = to = elementwise.to
    float = elementwise.to_float
    double = elementwise.to_double
    int = elementwise.to_int
    long = elementwise.to_long
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

    def expand_as(self, other: Any) -> Any:
        """This tensor broadcast to the shape of `other`."""
        return elementwise.expand(self, other.shape)

    def contiguous(self) -> Any:
        """This tensor, or a copy whose elements lie in memory in the order of their indices."""
        tensor: Any = self
        return tensor if tensor.data.flags.c_contiguous else elementwise.clone(tensor)

    # -- indexing ----------------------------------------------------------------------------------------

    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem
    index_select = indexing.index_select
    index_add = indexing.index_add
    gather = indexing.gather
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


for _name, _method in vars(Methods).items():
    if callable(_method) or isinstance(_method, property):
        setattr(Tensor, _name, _method)
