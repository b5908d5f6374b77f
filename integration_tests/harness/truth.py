"""Data of the local API, to compare with what the connector emits."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain
from math import inf

from integration_tests.close_api import LocalCloseApi
from integration_tests.close_api.records import Record
from integration_tests.close_api.times import to_micros
from integration_tests.harness.moments import DAY, moment, now
from integration_tests.harness.running import STREAMS, Connector, Result

LOOKBACK = {"activities": DAY, "event_log": timedelta(minutes=10), "leads": timedelta(minutes=10)}
LOOKBACK |= {"tasks": timedelta(minutes=5), "custom_fields": timedelta(minutes=10), "users": timedelta(minutes=10)}
CURSOR_FIELD = dict.fromkeys(LOOKBACK, "date_updated") | {"activities": "date_created"}


def ids(api: LocalCloseApi, stream: str, start: datetime | None = None, end: datetime | None = None) -> set[str]:
    """Return the ids of a stream's records whose cursor value is in [start, end)."""
    first = 0 if start is None else to_micros(start)
    last = inf if end is None else to_micros(end)
    with api.store.lock:
        api.store.advance()
        stamps = {record.id: _stamp(record, stream) for record in records(api, stream)}
    return {record_id for record_id, stamp in stamps.items() if first <= stamp < last}


def assert_check_discover_and_read_succeed(api: LocalCloseApi, connector: Connector) -> Result:
    """Assert that a first read emits all records and the events of 30 days; return what it printed."""
    [status] = connector.check().of("CONNECTION_STATUS")
    assert status["status"] == "SUCCEEDED"
    [catalog] = connector.discover().of("CATALOG")
    columns = {stream["name"]: stream["json_schema"]["properties"] for stream in catalog["streams"]}
    assert columns.keys() == set(STREAMS)
    assert [name for name in columns["activities"] if name.startswith("custom.cf_")]
    first = connector.sync()
    for stream in STREAMS:
        start = now() - 30 * DAY if stream == "event_log" else None
        assert set(first.ids(stream)) == ids(api, stream, start, now()), stream
    return first


def records(api: LocalCloseApi, stream: str) -> list[Record]:
    """Return all records of a stream that the API shows."""
    store = api.store
    shown = {
        "activities": [store.collections["activity"]],
        "custom_fields": [one for name, one in store.collections.items() if name.startswith("custom_field/")],
        "event_log": [store.events.visible],
        "leads": [store.leads.visible],
        "tasks": [store.collections["task"]],
        "users": [store.collections["user"]],
    }
    return list(chain.from_iterable(collection.records.values() for collection in shown[stream]))


def _stamp(record: Record, stream: str) -> int:
    return record.created if stream == "activities" else record.updated


@contextmanager
def clock_at(api: LocalCloseApi, moment: datetime) -> Iterator[None]:
    """Set the server's clock to `moment` inside the block."""
    before = api.settings.now
    api.settings.now = lambda: moment
    try:
        yield
    finally:
        api.settings.now = before


def forbid_after(api: LocalCloseApi, count: int) -> None:
    """Refuse every request after the first `count`, so that an endless loop of requests fails instead of hanging."""

    def forbid(number: int) -> None:
        if number > count:
            api.settings.forbidden["/"] = 403

    api.store.on_request(forbid)


def requests_of(api: LocalCloseApi, path: str) -> list[dict[str, str]]:
    """Return the parameters of the requests whose path starts with `path`, in order."""
    return [entry.query for entry in api.requests if entry.path.startswith(path)]


def saved_cursor(result: Result, stream: str) -> datetime:
    """Return the time up to which the saved state of a stream is complete."""
    state = result.state(stream)
    return moment(state.get("state", state)[CURSOR_FIELD[stream]])  # with partitions: the global cursor
