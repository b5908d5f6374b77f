"""A running local API whose clock the test sets, and a client for it."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from integration_tests.close_api import LocalCloseApi, Settings
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.warehouse import Clock

NOON = datetime(2026, 1, 15, 12, tzinfo=timezone.utc)


class Client:
    """Sends requests with the right key."""

    def __init__(self, api: LocalCloseApi) -> None:
        self._api = api
        self.session = requests.Session()
        self.session.auth = (api.settings.api_key, "")

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self._api.url + path, params=params, timeout=60)

    def json(self, path: str, **params: Any) -> Any:
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def ids(self, path: str, **params: Any) -> list[str]:
        return [row["id"] for row in self.json(path, **params)["data"]]

    def updates_of(self, object_id: str) -> list[Any]:
        """Return the events that report a change of an object, newest first."""
        events = self.json("/event/")["data"]
        return [one for one in events if (one["object_id"], one["action"]) == (object_id, "updated")]

    def search(self, *conditions: Any, **body: Any) -> Any:
        response = self.try_search(*conditions, **body)
        assert response.status_code == 200, response.text
        return response.json()

    def try_search(self, *conditions: Any, **body: Any) -> requests.Response:
        leads = {"type": "object_type", "object_type": "lead"}
        query = {"type": "and", "queries": [leads, *conditions]}
        return self.session.post(f"{self._api.url}/data/search/", json={"query": query, **body}, timeout=60)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def api(make_api: MakeApi, clock: Clock) -> LocalCloseApi:
    return make_api(settings=Settings(now=clock))


@pytest.fixture
def client(api: LocalCloseApi) -> Iterator[Client]:
    one = Client(api)
    yield one
    one.session.close()
