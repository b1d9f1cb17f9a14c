"""minigrad: reverse-mode autodiff small enough to read, and every normalization layer in it."""

from minigrad import interrupt  # isort: skip  (first: it listens to Ctrl-C while the rest is imported)

import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy

from minigrad import autograd, data, nn, ops, optim, utils
from minigrad.autograd import (
    Function,
    Tensor,
    composed,
    detect_anomaly,
    enable_grad,
    grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minigrad.autograd.tensor import set_printoptions
from minigrad.files import BadFile
from minigrad.kernels.threads import get_num_threads, set_num_threads
from minigrad.nn.saving import load, save
from minigrad.ops import random
from minigrad.ops.activation import log_softmax, relu, softmax
from minigrad.ops.compare import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    clamp_max,
    clamp_min,
    clip,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    masked_fill,
    maximum,
    minimum,
    nan_to_num,
    ne,
    nonzero,
    where,
)
from minigrad.ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from minigrad.ops.counting import bincount, histc, histogram, unique, unique_consecutive
from minigrad.ops.creation import (
    BoolTensor,
    ByteTensor,
    DoubleTensor,
    FloatTensor,
    IntTensor,
    LongTensor,
    arange,
    as_tensor,
    bernoulli,
    empty,
    empty_like,
    eye,
    float32,
    float64,
    from_numpy,
    full,
    full_like,
    int8,
    int16,
    int32,
    int64,
    is_floating_point,
    is_tensor,
    linspace,
    logspace,
    multinomial,
    normal,
    numel,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    tensor,
    uint8,
    zeros,
    zeros_like,
)
from minigrad.ops.device import (
    accelerator,
    backends,
    cuda,
    device,
    get_default_device,
    mps,
    set_default_device,
    xpu,
)
from minigrad.ops.elementwise import (
    add,
    addcdiv,
    addcmul,
    clone,
    div,
    expand,
    floor_divide,
    lerp,
    mul,
    neg,
    remainder,
    sub,
)
from minigrad.ops.extrema import (
    amax,
    amin,
    argmax,
    argmin,
    argsort,
    max,
    median,
    min,
    sort,
    topk,
)
from minigrad.ops.indexing import (
    gather,
    index_add,
    index_select,
    masked_select,
    scatter,
    scatter_add,
    take_along_dim,
)
from minigrad.ops.linalg import (
    addmm,
    bmm,
    dot,
    einsum,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
    trace,
)
from minigrad.ops.pool import (
    adaptive_avg_pool1d,
    avg_pool1d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from minigrad.ops.power import (
    pow,
    square,
)
from minigrad.ops.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from minigrad.ops.reduction import (
    all,
    any,
    cdist,
    count_nonzero,
    logsumexp,
    mean,
    nansum,
    norm,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)
from minigrad.ops.scan import (
    cumprod,
    cumsum,
)
from minigrad.ops.shape import (
    cat,
    chunk,
    diag,
    diagonal,
    diff,
    flatten,
    flip,
    hstack,
    meshgrid,
    movedim,
    permute,
    repeat_interleave,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    t,
    tile,
    transpose,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    vstack,
)
from minigrad.ops.unary import (
    abs,
    acos,
    asin,
    atan,
    ceil,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    logit,
    reciprocal,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
)

# As in PyTorch, clipping is found in nn.utils as well; see there.
nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_ = optim.clip_grad_norm_, optim.clip_grad_value_

__version__ = "0.1.0"

if TYPE_CHECKING:
    from minigrad import viz


def __getattr__(name: str) -> Any:
    """`mg.viz` is imported when it is first used."""
    if name == "viz":
        return importlib.import_module("minigrad.viz")
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")


pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
finfo, iinfo = numpy.finfo, numpy.iinfo

# Last, because from here on these names mean dtypes in this file, as `mg.bool` and `mg.float` do outside it.
float, double, int, long, bool = float32, float64, int32, int64, ops.creation.boolean
short = int16
clamp, swapaxes, moveaxis = clip, transpose, movedim
concat = concatenate = cat
multiply, negative, absolute = mul, neg, abs
broadcast_to = expand
subtract, divide, true_divide = sub, div, div
