"""SyncBatchNorm: each rank's share against batch norm of the whole batch, on threads and under MPI."""

import copy
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.install import install_command
from minigrad.ops import collective
from tests.ranks import all_well, run_ranks
from tests.sync_batch_norm_program import CHECKS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("size", [2, 3])
def test_on_threads(size, name):
    all_well(run_ranks(size, CHECKS[name]))


def why_no_mpi() -> str | None:
    if shutil.which("mpiexec") is None:
        return "MPI is not installed: there is no mpiexec (Debian: apt-get install openmpi-bin libopenmpi-dev)"
    if importlib.util.find_spec("mpi4py") is None:
        return f"mpi4py is not installed: {install_command('mpi')}"
    return None


@pytest.mark.skipif(why_no_mpi() is not None, reason=str(why_no_mpi()))
@pytest.mark.parametrize("size", [2, 3])
def test_under_mpi(size):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NUMBA_NUM_THREADS": "1",
        # Open MPI refuses to run as root, as containers do, and more processes than there are cores.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",  # and ties each rank to a core of its own
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    program = [sys.executable, "-m", "mpi4py", "-m", "tests.sync_batch_norm_program"]
    result = subprocess.run(
        ["mpiexec", "-n", str(size), *program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    assert re.findall(rf"^(.*): passed on {size} ranks$", result.stdout, re.M) == [*CHECKS, "by default"], (
        result.stdout
    )


# -- one process ---------------------------------------------------------------------------------------------


def test_alone_it_is_batch_norm_and_needs_no_mpi():
    x = mg.tensor(np.random.default_rng(0).standard_normal((4, 3, 2)))
    together, alone = nn.SyncBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    np.testing.assert_array_equal(together(x).detach().numpy(), alone(x).detach().numpy())
    np.testing.assert_array_equal(together.running_var.numpy(), alone.running_var.numpy())
    assert list(together.state_dict()) == list(alone.state_dict())
    with pytest.raises(ValueError, match="SyncBatchNorm: num_features=3, but the input has 2 channels"):
        together(x[:, :2])
    assert "mpi4py" not in sys.modules


def test_several_processes_without_mpi4py_are_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert collective.world() is None
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(ImportError, match=re.escape(install_command("mpi"))):
        nn.SyncBatchNorm(3)(mg.zeros(4, 3))


def test_what_is_no_communicator_is_an_error():
    with pytest.raises(TypeError, match="process_group must be an mpi4py communicator, not a str"):
        nn.SyncBatchNorm(3, process_group="world")(mg.zeros(4, 3))


def test_evaluation_exchanges_nothing():
    def program(group):
        layer = nn.SyncBatchNorm(2, process_group=group).eval()
        layer(mg.zeros(1 + group.rank, 2))
        with nn.utils.freeze_statistics(layer.train()):
            layer(mg.zeros(1 + group.rank, 2))
        return group.exchanges

    assert all_well(run_ranks(2, program)) == [0, 0]


def test_a_step_exchanges_three_times():
    """Notes and statistics in the forward pass, two sums in the backward pass."""

    def program(group):
        layer = nn.SyncBatchNorm(2, process_group=group)
        layer(mg.ones(2, 2)).sum().backward()
        return group.exchanges

    assert all_well(run_ranks(2, program)) == [3, 3]


# -- conversion ----------------------------------------------------------------------------------------------


def test_conversion_keeps_tensors_names_and_flags():
    shared = nn.BatchNorm1d(4)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, eps=0.1, momentum=None)),
        nn.InstanceNorm2d(2),
        shared,
        shared,
    )
    model[0][1].eval()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert converted is model
    assert type(model[0][1]) is nn.SyncBatchNorm
    assert (model[0][1].eps, model[0][1].momentum, model[0][1].training) == (0.1, None, False)
    assert model[2] is model[3]
    assert type(model[1]) is nn.InstanceNorm2d
    assert {**dict(model.named_parameters()), **dict(model.named_buffers())} == tensors
    assert [type(m).__name__ for m in model] == ["Sequential", "InstanceNorm2d", "SyncBatchNorm", "SyncBatchNorm"]
    assert repr(model[0][1]).startswith("SyncBatchNorm(2, eps=0.1, momentum=None, affine=True, bias=True")


def test_conversion_of_a_norm_itself():
    norm = nn.BatchNorm3d(2, affine=False, track_running_stats=False)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
    assert isinstance(converted, nn.SyncBatchNorm)
    assert not converted.state_dict()
    assert not converted.affine
    linear = nn.Linear(2, 2)
    assert nn.SyncBatchNorm.convert_sync_batchnorm(linear) is linear
    with pytest.raises(TypeError, match="not a int"):
        nn.SyncBatchNorm.convert_sync_batchnorm(3)  # pyright: ignore[reportArgumentType]


def test_a_layer_with_a_group_can_be_copied_and_folded():
    def program(group):
        model = nn.Sequential(nn.Linear(3, 2), nn.SyncBatchNorm(2, process_group=group))
        clone = copy.deepcopy(model)
        assert clone[1].process_group is group
        assert clone[1].weight is not model[1].weight
        assert list(clone[1].parameters()) == [clone[1].weight, clone[1].bias]
        model(mg.randn(3, 3))
        folded = nn.utils.fold_batch_norm(model.eval())
        np.testing.assert_allclose(
            folded(mg.ones(1, 3)).detach().numpy(), model(mg.ones(1, 3)).detach().numpy(), rtol=1e-5
        )

    all_well(run_ranks(2, program))
