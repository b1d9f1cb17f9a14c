"""PyTorch's place for data sets and loaders: `minigrad.utils.data` is `minigrad.data`."""

import sys

from minigrad import data

sys.modules["minigrad.utils.data"] = data  # for `from minigrad.utils.data import DataLoader`
