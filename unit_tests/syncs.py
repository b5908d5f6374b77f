"""Helpers that sync streams of the manifest from a mock of Close at a fixed time of day."""

import logging
import os
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import requests
import time_machine
from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessage, ConfiguredAirbyteCatalog, SyncMode
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource, TestLimits
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.test.state_builder import StateBuilder
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests_mock import Mocker

from source_close.api.sync import READ_RETRY_SECONDS, Sync
from source_close.config import CloseConfigTransformation
from source_close.source import SourceClose, load_manifest

ROOT = Path(__file__).resolve().parent.parent
API = "https://api.close.com/api/v1"
KEY = "api_0Secret0Key0.2Never3Printed"
NOW = "2025-06-15T12:00:00.000000+00:00"
Row = dict[str, Any]
Log = pytest.LogCaptureFixture

# The CDK parses its schema of manifests, 250 kB of YAML, for every source that it builds. The name of the function
# begins with an underscore before airbyte-cdk 7.39.
module = vars(concurrent_declarative_source)
[load_schema] = [name for name in module if name.endswith("get_declarative_component_schema")]
module[load_schema] = cache(module[load_schema])


@cache
def stock_source() -> ConcurrentDeclarativeSource:
    """Return the CDK's own source with the manifest; it requests no custom fields for columns."""
    config = {"api_key": KEY, "sync": Sync(custom_field_columns=False)}
    return ConcurrentDeclarativeSource(None, config, None, source_config=load_manifest())


# The streams of the manifest by name.
DEFINED: dict[str, Row] = {one["name"]: one for one in stock_source().resolved_manifest["streams"]}
STREAMS = list(DEFINED)
PROPERTIES: dict[str, Row] = load_manifest()["spec"]["connection_specification"]["properties"]
KINDS = ["lead", "contact", "opportunity", "activity", "shared", "custom_object_type"]
LOGGER = logging.getLogger("airbyte")


def cursor_of(stream: str) -> str | None:
    field: str | None = DEFINED[stream].get("incremental_sync", {}).get("cursor_field")
    return field


class Clock:
    """A clock that only ``sleep`` advances; it also advances the time of day if ``day`` is set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.day: time_machine.Traveller | None = None
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            if self.day is not None:
                self.day.shift(seconds)
        os.sched_yield()


def warnings(log: Log) -> list[str]:
    return [one.getMessage() for one in log.records if one.levelname == "WARNING"]


class Failure(NamedTuple):
    """An error that a stream emitted, and the type that it has for Airbyte."""

    stream: str
    kind: str
    message: str


@dataclass
class Reading:
    """The messages that a sync emitted, and the error that it raised."""

    messages: list[AirbyteMessage] = field(default_factory=list)
    error: str = ""

    @property
    def records(self) -> list[Row]:
        return [dict(message.record.data) for message in self.messages if message.record]

    @property
    def ids(self) -> list[str]:
        return [record["id"] for record in self.records]

    def ids_of(self, stream: str) -> list[str]:
        return [one.record.data["id"] for one in self.messages if one.record and one.record.stream == stream]

    def states(self, stream: str | None = None) -> list[Row]:
        states = [message.state.stream for message in self.messages if message.state and message.state.stream]
        return [vars(one.stream_state) for one in states if stream in {None, one.stream_descriptor.name}]

    @property
    def statuses(self) -> dict[str, str]:
        """The last status of each stream."""
        found = [message.trace.stream_status for message in self.messages if message.trace]
        return {one.stream_descriptor.name: one.status.value for one in found if one}

    @property
    def failures(self) -> list[Failure]:
        found = []
        for message in self.messages:
            error = message.trace.error if message.trace else None
            if error is None:
                continue
            stream = error.stream_descriptor.name if error.stream_descriptor else ""
            kind = error.failure_type.value if error.failure_type else ""
            found.append(Failure(stream, kind, error.message))
        return found


def leads(api: Mocker, *responses: Row, by_ids: Collection[Row] | None = None) -> None:
    """Register the responses to searches, and the leads that a read by ids finds: by default those of the searches."""
    api.post(f"{API}/data/search/", list(responses))
    if by_ids is None:
        pages = [response.get("json", {}).get("data", []) for response in responses]
        by_ids = list(chain.from_iterable(pages))
    found = {row["id"]: row for row in by_ids}

    def read_by_ids(request: Any, _: Any) -> Row:
        wanted = request.json()["_params"]["id__in"].split(",")
        return {"data": [found[one] for one in wanted if one in found], "has_more": False}

    api.post(f"{API}/lead/", json=read_by_ids)


def catalog(*streams: str, whole: Collection[str] = ()) -> ConfiguredAirbyteCatalog:
    """Return a catalog that reads ``streams`` incrementally, except a full refresh for those in ``whole``."""
    builder = CatalogBuilder()
    for name in streams:
        mode = SyncMode.full_refresh if name in whole else SyncMode.incremental
        builder.with_stream(name, mode)
    return builder.build()


def saved(**states: Row) -> list[AirbyteStateMessage]:
    """Return the states in the form in which Airbyte passes them to a source."""
    builder = StateBuilder()
    for name, state in states.items():
        builder.with_stream_state(name, state)
    return builder.build()


def transform(now: str = NOW, **config: Any) -> Row:
    """Return the config with the values that the manifest uses."""
    given = {"api_key": KEY, **config}
    with time_machine.travel(now, tick=False):
        CloseConfigTransformation().transform(given)
    return given


@cache
def _resolved_manifest() -> Row:
    """Return the manifest with its references resolved, which takes long, and without what they refer to."""
    manifest = dict(ManifestReferenceResolver().preprocess_manifest(load_manifest()))
    del manifest["definitions"]
    return manifest


@cache
def manifest_of(*streams: str) -> Row:
    """Return the manifest with only these streams and with empty schemas."""
    manifest = _resolved_manifest()
    wanted = [one for one in manifest["streams"] if one["$parameters"]["name"] in streams]
    schemas: Row = {name: {"type": "object", "properties": {}} for name in STREAMS}
    schemas["custom_field_types"] = {"other": {}}
    return {**manifest, "streams": wanted, "schemas": schemas}


def read(
    *streams: str,
    state: Row | None = None,
    clock: Clock | None = None,
    manifest: Row | None = None,
    limits: TestLimits | None = None,
    retry_seconds: float = READ_RETRY_SECONDS,
    event_log_positions: dict[str, str] | None = None,
    sync: Sync | None = None,
    **config: Any,
) -> Reading:
    """Sync streams at ``NOW`` with the source class of the CDK.

    It reads windows one after the other and requests no custom fields for columns. ``retry_seconds`` and
    ``event_log_positions`` are values that the source of the connector sets; ``sync`` has all of these.
    """
    if sync is None:
        sync = Sync(custom_field_columns=False, retry_seconds=retry_seconds)
        sync.event_log_positions.update(event_log_positions or {})
    given = {"api_key": KEY, "num_workers": 1, **config, "sync": sync}
    manifest = manifest or manifest_of(*streams)
    states = saved(**(state or {}))
    with time_machine.travel(NOW, tick=False) as day:
        if clock:
            clock.day = day
        source = ConcurrentDeclarativeSource(catalog(*streams), given, states, source_config=manifest, limits=limits)
        return run(source, *streams)


def read_with_positions(
    *streams: str, state: Row | None = None, whole: Collection[str] = (), whole_manifest: bool = False, **config: Any
) -> Reading:
    """Sync streams at ``NOW`` with the source class of the connector, which saves event log positions.

    The source has only these streams and empty schemas, unless it needs the whole manifest.
    """
    states = saved(**state) if state else None  # as in Python, where a first sync may leave it out
    with time_machine.travel(NOW, tick=False), pytest.MonkeyPatch.context() as patch:
        if not whole_manifest:
            patch.setattr("source_close.source.load_manifest", lambda: manifest_of(*streams))
        config = {"api_key": KEY, "num_workers": 1, **config}
        return run(SourceClose(), *streams, whole=whole, config=config, states=states)


def run(
    source: ConcurrentDeclarativeSource | SourceClose,
    *streams: str,
    whole: Collection[str] = (),
    config: Row | None = None,
    states: list[AirbyteStateMessage] | None = None,
) -> Reading:
    """Read streams from ``source`` until it stops, and collect its messages."""
    reading = Reading()
    try:
        reading.messages.extend(source.read(LOGGER, config or {}, catalog(*streams, whole=whole), states))
    except AirbyteTracedException as error:
        reading.error = str(error)
    return reading


def requested(api: Mocker, path: str = "") -> list[str]:
    """Return the requests so far that start with ``path``, without ``API`` and with sorted query parameters."""
    found = []
    for request in api.request_history:
        where, mark, query = unquote(request.url).removeprefix(API).partition("?")
        parameters = "&".join(sorted(query.split("&")))
        found.append(f"{where}{mark}{parameters}")
    return [url for url in found if url.startswith(path)]


def response(status: int = 200, ratelimit: str = "") -> requests.Response:
    built = requests.Response()
    built.status_code = status
    built.headers["ratelimit"] = ratelimit
    return built
