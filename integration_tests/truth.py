"""What the server holds, to compare with what the connector brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from integration_tests.close_api import LocalCloseApi
from integration_tests.close_api.records import Collection, Record
from integration_tests.close_api.times import iso, parse, to_datetime, to_micros
from integration_tests.running import Result

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LOOKBACK = {"activities": DAY, "event_log": timedelta(minutes=5), "leads": timedelta(minutes=10)}
LOOKBACK |= {"tasks": timedelta(minutes=5), "custom_fields": timedelta(minutes=10), "users": timedelta(minutes=10)}
CURSOR_FIELD = dict.fromkeys(LOOKBACK, "date_updated") | {"activities": "date_created"}


def now() -> datetime:
    """The present moment in whole milliseconds."""
    moment = datetime.now(timezone.utc)
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def text(moment: datetime) -> str:
    """A moment as the API writes it."""
    return iso(to_micros(moment))


def moment(value: str) -> datetime:
    """A moment that the API, the connector or a state wrote; without an offset it is UTC."""
    return to_datetime(parse(value))


def ids(api: LocalCloseApi, stream: str, start: datetime | None = None, end: datetime | None = None) -> set[str]:
    """The ids of a stream's records whose cursor field lies in [start, end)."""
    low = None if start is None else to_micros(start)
    high = None if end is None else to_micros(end)
    with api.store.lock:
        api.store.advance()
        stamped = [(_stamp(record, stream), record.id) for record in _records(api, stream)]
    return {
        record_id for stamp, record_id in stamped if (low is None or stamp >= low) and (high is None or stamp < high)
    }


def newest(api: LocalCloseApi, stream: str, end: datetime) -> datetime:
    """The newest value of a stream's cursor field before `end`."""
    with api.store.lock:
        return to_datetime(max(s for r in _records(api, stream) if (s := _stamp(r, stream)) < to_micros(end)))


def _records(api: LocalCloseApi, stream: str) -> Iterator[Record]:
    for collection in _collections(api, stream):
        yield from collection.records.values()


def _collections(api: LocalCloseApi, stream: str) -> Iterable[Collection]:
    store = api.store
    match stream:
        case "leads":
            return [store.leads.visible]
        case "event_log":
            return [store.events.visible]
        case "custom_fields":
            return [one for name, one in store.collections.items() if name.startswith("custom_field/")]
        case _:
            return [store.collections[{"activities": "activity", "tasks": "task", "users": "user"}[stream]]]


def _stamp(record: Record, stream: str) -> int:
    return record.created if stream == "activities" else record.updated


@contextmanager
def clock_at(api: LocalCloseApi, moment: datetime) -> Iterator[None]:
    """Let changes inside the block happen at `moment`."""
    before = api.settings.now
    api.settings.now = lambda: moment
    try:
        yield
    finally:
        api.settings.now = before


def forbid_after(api: LocalCloseApi, count: int) -> None:
    """Refuse everything after so many requests: a reader that turns in circles then fails instead of hanging."""

    def forbid(number: int) -> None:
        if number > count:
            api.settings.forbidden["/"] = 403

    api.store.on_request(forbid)


def requests_of(api: LocalCloseApi, path: str) -> list[dict[str, str]]:
    """The parameters of the requests whose path begins with `path`, in order."""
    return [entry.query for entry in api.requests if entry.path.startswith(path)]


def state_of(**cursors: str | dict[str, Any]) -> list[dict[str, Any]]:
    """A state file that holds these streams' cursors, or these whole stream states."""
    return [
        {
            "type": "STREAM",
            "stream": {
                "stream_descriptor": {"name": stream},
                "stream_state": cursor if isinstance(cursor, dict) else {CURSOR_FIELD.get(stream, "x"): cursor},
            },
        }
        for stream, cursor in cursors.items()
    ]


def saved_cursor(result: Result, stream: str) -> datetime:
    """The moment up to which a read has saved a stream as complete."""
    state = result.state(stream)
    return moment(state.get("state", state)[CURSOR_FIELD[stream]])  # of several partitions: the CDK's global one


def assert_complete(result: Result, *streams: str) -> None:
    """The read succeeded and ended these streams."""
    assert result.exit_code == 0, result.errors or result.output[-2_000:]
    assert {stream: result.status(stream) for stream in streams} == dict.fromkeys(streams, "COMPLETE")
