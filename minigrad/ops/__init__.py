"""The graph ops, one family a file. Each takes Tensors, records itself, and returns a Tensor.

An op that gets only plain arrays computes and records nothing. So one derivative rule serves an ordinary backward pass
and a backward pass that is itself recorded.
"""

from minigrad.ops import creation as creation
from minigrad.ops import methods as methods
