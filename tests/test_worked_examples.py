"""Worked examples of batch, layer and group norm with small whole numbers, as published with four decimals."""

import json
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

F = mg.nn.functional
TABLES = json.loads((Path(__file__).parent / "data" / "worked_examples.json").read_text())

METHODS = {
    "batch_norm_2d": lambda x, table: F.batch_norm(x, training=True, eps=table["eps"]),
    "layer_norm": lambda x, table: F.layer_norm(x, table["normalized_shape"], eps=table["eps"]),
    "group_norm": lambda x, table: F.group_norm(x, table["num_groups"], eps=table["eps"]),
}

# (samples or channels, the elements that share statistics): where the published means and variances stand
GROUPS = {
    "batch_norm_2d": lambda x, table: np.moveaxis(x, 1, 0).reshape(x.shape[1], -1),
    "layer_norm": lambda x, table: x.reshape(-1, x.shape[-1]),
    "group_norm": lambda x, table: x.reshape(x.shape[0] * table["num_groups"], -1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("form", ["fused", "composed"])
def test_output(name: str, dtype: str, form: str):
    table = TABLES[name]
    x = mg.tensor(np.array(table["input"], dtype))
    if form == "composed":
        with mg.composed():
            y = METHODS[name](x, table)
    else:
        y = METHODS[name](x, table)
    # to half a unit of the last printed digit
    np.testing.assert_allclose(y.numpy(), np.array(table["output"]), rtol=0, atol=5.1e-5)


@pytest.mark.parametrize("name", TABLES)
def test_statistics(name: str):
    """The published means and variances are those of the elements that we say share them."""
    table = TABLES[name]
    groups = GROUPS[name](np.array(table["input"], float), table)
    np.testing.assert_allclose(groups.mean(1), table["mean"], rtol=1e-6)
    np.testing.assert_allclose(groups.var(1), table["biased_variance"], rtol=1e-6)


def test_batch_norm_averages_the_published_statistics():
    table = TABLES["batch_norm_2d"]
    norm = mg.nn.BatchNorm2d(4, momentum=1.0).double()
    norm(mg.tensor(np.array(table["input"], float)))
    n = 2 * 2 * 2
    np.testing.assert_allclose(norm.running_mean.numpy(), table["mean"], rtol=1e-6)
    np.testing.assert_allclose(norm.running_var.numpy(), np.array(table["biased_variance"]) * n / (n - 1), rtol=1e-6)
