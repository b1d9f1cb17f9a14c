"""The methods and operators of `Tensor`: `x.exp()` is `ops.exp(x)`, `x + y` is `ops.add(x, y)`.

A list of names, for people and type checkers to read. Importing it hands the functions to the class: a
function that is an attribute of a class is a method, and its first argument is the tensor.
"""

from minigrad.autograd.tensor import Tensor
from minigrad.ops import activation, elementwise, linalg, reduction, shape


class Methods:
    __add__ = elementwise.add
    __radd__ = elementwise.add
    __sub__ = elementwise.sub
    __mul__ = elementwise.mul
    __rmul__ = elementwise.mul
    __truediv__ = elementwise.div
    __neg__ = elementwise.neg
    __matmul__ = linalg.matmul

    def __rsub__(self, other):
        return elementwise.sub(other, self)

    def __rtruediv__(self, other):
        return elementwise.div(other, self)

    def __rmatmul__(self, other):
        return linalg.matmul(other, self)

    to = elementwise.to
    float = elementwise.to_float
    double = elementwise.to_double
    int = elementwise.to_int
    long = elementwise.to_long
    bool = elementwise.to_bool
    add = elementwise.add
    sub = elementwise.sub
    mul = elementwise.mul
    div = elementwise.div
    exp = elementwise.exp
    neg = elementwise.neg
    astype = elementwise.cast
    clone = elementwise.clone
    expand = elementwise.expand
    sum = reduction.sum
    mean = reduction.mean
    reshape = shape.reshape
    permute = shape.permute
    transpose = shape.transpose
    matmul = linalg.matmul
    relu = activation.relu
    softmax = activation.softmax
    log_softmax = activation.log_softmax


for _name, _method in vars(Methods).items():
    if callable(_method) or isinstance(_method, property):
        setattr(Tensor, _name, _method)
