"""A running local API whose clock the test sets, and a client for it."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from integration_tests.close_api import LocalCloseApi, Settings, Volumes

NOON = datetime(2026, 1, 15, 12, tzinfo=timezone.utc)


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


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

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self.session.post(self._api.url + path, json=body, headers=headers, timeout=60)

    def search(self, *conditions: Any, **body: Any) -> Any:
        response = self.try_search(*conditions, **body)
        assert response.status_code == 200, response.text
        return response.json()

    def try_search(self, *conditions: Any, **body: Any) -> requests.Response:
        leads = {"type": "object_type", "object_type": "lead"}
        return self.post("/data/search/", {"query": {"type": "and", "queries": [leads, *conditions]}, **body})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(clock: Clock) -> Iterator[Callable[..., LocalCloseApi]]:
    running: list[LocalCloseApi] = []

    def start(**volumes: int) -> LocalCloseApi:
        year = timedelta(days=365)
        api = LocalCloseApi(Volumes(**volumes), settings=Settings(now=clock), start=NOON - year, end=NOON)
        running.append(api)
        api.start()
        return api

    yield start
    for api in running:
        api.stop()


@pytest.fixture
def api(serve: Callable[..., LocalCloseApi]) -> LocalCloseApi:
    return serve()


@pytest.fixture
def client(api: LocalCloseApi) -> Iterator[Client]:
    one = Client(api)
    yield one
    one.session.close()
