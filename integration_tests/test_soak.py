"""A few runs of the soak; `make soak` does 300."""

import pytest

from integration_tests.soak import runs


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_soak_run_loses_no_record(seed: int) -> None:
    assert runs.run(seed) is None
