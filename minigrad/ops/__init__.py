"""The graph ops, one family a file. Each takes Tensors, records itself, and returns a Tensor.

Called with plain arrays only, an op computes and records nothing: that is how one derivative rule serves
an ordinary backward pass and one that is itself recorded.
"""

from minigrad.ops import creation as creation
from minigrad.ops import methods as methods
