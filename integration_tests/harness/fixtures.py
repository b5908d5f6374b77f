"""The types of the fixtures that the tests share; see integration_tests/conftest.py."""

from collections.abc import Callable

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.forked import ForkedConnector

MakeApi = Callable[..., LocalCloseApi]
Fork = Callable[..., ForkedConnector]
