"""Options of the test run."""

import os

# NumPy's matrix products on one thread, unless the environment says otherwise: the tests' matrices are tiny, and on a
# machine with other work a second thread is mostly waited for. This must be said before NumPy is imported.
for library in ("OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import pytest  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live-torch", action="store_true", help="compare with an installed PyTorch, not with the golden files"
    )


@pytest.fixture(scope="session")
def live_torch(request: pytest.FixtureRequest) -> bool:
    """Was the comparison with an installed PyTorch asked for?"""
    return bool(request.config.getoption("--live-torch"))
