"""Options of the test run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live-torch", action="store_true", help="compare with an installed PyTorch, not with the golden files"
    )


@pytest.fixture(scope="session")
def live_torch(request: pytest.FixtureRequest) -> bool:
    """Was the comparison with an installed PyTorch asked for?"""
    return bool(request.config.getoption("--live-torch"))
