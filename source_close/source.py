"""The source: builds the manifest's streams around this connector's cursor, and checks a connection."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    ConfiguredAirbyteCatalog,
    Status,
)
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from airbyte_cdk.sources.declarative.interpolation import InterpolatedString
from airbyte_cdk.sources.declarative.models.declarative_component_schema import (
    CustomRetriever,
    HttpRequester,
    InlineSchemaLoader,
)
from airbyte_cdk.sources.declarative.stream_slicers.declarative_partition_generator import (
    DeclarativePartitionFactory,
    StreamSlicerPartitionGenerator,
)
from airbyte_cdk.sources.message import NoopMessageRepository
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.cursor import CursorField
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import StreamSlice
from isodate import parse_duration

from source_close.changes import ChangeLog
from source_close.components.retriever import CloseRetriever
from source_close.components.transformations import CustomFieldsTransformation
from source_close.config import CloseConfig, parse_config
from source_close.cursor import WindowCursor, WindowSlice
from source_close.definitions import FieldDefinitions
from source_close.errors import PERMISSION_STATUSES, UNAUTHORIZED, CloseApiError
from source_close.offset_pages import Page, page_of
from source_close.refetch import Refetch
from source_close.state import load_state
from source_close.transport import RETRY_SECONDS, Transport
from source_close.windows import Row, floor_to_millisecond, parse_moment, utc_now

LOGGER = logging.getLogger("airbyte.source-close")

CUSTOM_FIELDS = "custom_fields"
EVENT_LOG = "event_log"
LEADS = "leads"
_PACKAGE = Path(__file__).resolve().parent
# Records that wait for the printer. The CDK's 10,000 dictionaries take over 100 MB.
_LONGEST_QUEUE = 1_000
# A person waits for a check: a network that does not answer is reported soon.
_CHECK_RETRY_SECONDS = 10.0


def load_manifest() -> dict[str, Any]:
    """Read manifest.yaml: beside the package in a wheel, at the top of the project in a checkout."""
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (path := folder / "manifest.yaml").is_file():
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, it takes a fifth of the time
            manifest: dict[str, Any] = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - both are safe loaders
            return manifest
    raise FileNotFoundError(f"manifest.yaml is neither in {_PACKAGE} nor above it: the installation is incomplete.")


@dataclass(frozen=True)
class _Parts:
    """A stream and the parts of it that the CDK's stream hides."""

    stream: AbstractStream
    retriever: CloseRetriever
    cursor: WindowCursor


class SourceClose(ConcurrentDeclarativeSource):
    """Close as an Airbyte source.

    What the streams are stands in manifest.yaml. This class only builds them: ``ConcurrentDeclarativeSource`` gives a
    stream the CDK's own cursor and no way to name another, so ``streams`` puts ``WindowCursor`` in its place and hands
    every retriever the transport that all of them share.
    """

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
    ) -> None:
        """All may be given later, by ``configure`` and ``read``.

        Raises:
            AirbyteTracedException: (config error) the config can't be used.
        """
        self._started_at = utc_now()
        self._selected: set[str] = set()
        self._close_config: CloseConfig | None = parse_config(config) if config else None
        super().__init__(
            catalog=catalog,
            config=self._close_config.for_manifest(self._started_at) if self._close_config else None,
            state=state,
            source_config=load_manifest(),
        )
        self._concurrent_source._queue.maxsize = _LONGEST_QUEUE  # noqa: SLF001 - the CDK makes it and offers no size

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Take ``config`` if none was given when the source was made.

        Raises:
            AirbyteTracedException: (config error) it can't be used.
        """
        if self._close_config is None:
            SourceClose.__init__(self, config=config)
        return super().configure(config, temp_dir)

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the streams of the manifest; ``config`` is what the source was made with."""
        transport = self._transport()
        change_log, fields = self._change_log(transport), self._field_definitions(transport)
        parts = [
            self._build(definition, transport, fields, change_log=change_log) for definition in self._definitions()
        ]
        return [part.stream for part in parts]

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """Read the streams of ``catalog`` from ``state`` on.

        Raises:
            AirbyteTracedException: a stream could not be read to its end; the others were.
        """
        if state:
            self._connector_state_manager = ConnectorStateManager(state=state)
        # The event log first: other streams wait for what it tells.
        event_log_first = sorted(catalog.streams, key=lambda configured: configured.stream.name != EVENT_LOG)
        self._selected = {configured.stream.name for configured in event_log_first}
        yield from super().read(logger, config, ConfiguredAirbyteCatalog(streams=event_log_first), state)

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """The streams, with a column for each custom field of the account.

        Raises:
            CloseApiError: Close does not accept the key. Whatever else keeps the fields from being read is a warning.
        """
        catalog = super().discover(logger, config)
        fields = self._field_definitions(self._transport(retry_seconds=_CHECK_RETRY_SECONDS))
        try:
            schemas = fields.add_columns({stream.name: stream.json_schema for stream in catalog.streams})
        except CloseApiError as error:
            if error.status == UNAUTHORIZED:
                raise
            logger.warning("The columns of custom fields are left out; their values come all the same. %s", error)
            return catalog
        for stream in catalog.streams:
            stream.json_schema = schemas[stream.name]
        return catalog

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Prove the key by ``GET /me/``, then try each stream with the cheapest request there is.

        A stream that the key may not read is named in a warning and does not fail the check, unless there is no other.
        """
        transport = self._transport(retry_seconds=_CHECK_RETRY_SECONDS)
        try:
            self._check_key(transport)
            forbidden = [
                f"{parts.stream.name}: {error}"
                for parts in (self._build(definition, transport) for definition in self._definitions())
                if (error := _refusal(parts))
            ]
        except CloseApiError as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        for refusal in forbidden:
            logger.warning("This key can't read every stream. %s", refusal)
        message = " ".join(forbidden) or None
        everything = len(forbidden) == len(self._definitions())
        return AirbyteConnectionStatus(status=Status.FAILED if everything else Status.SUCCEEDED, message=message)

    def _check_key(self, transport: Transport) -> None:
        definition = self.resolved_manifest["definitions"]["key_requester"]
        requester = self._constructor.create_component(HttpRequester, definition, self._config, name="me")
        transport.fetch(requester, "connection")

    def _field_definitions(self, transport: Transport) -> FieldDefinitions:
        definition = self._definition(CUSTOM_FIELDS)["retriever"]["requester"]
        requester = self._constructor.create_component(HttpRequester, definition, self._config, name=CUSTOM_FIELDS)

        def fetch(kind: str, skip: int, limit: int) -> Page:
            stream_slice = StreamSlice(partition={"object_type": kind}, cursor_slice={})
            return page_of(transport.fetch(requester, CUSTOM_FIELDS, stream_slice, {"_skip": skip, "_limit": limit}))

        return FieldDefinitions(fetch)

    def _definition(self, stream: str) -> dict[str, Any]:
        return next(definition for definition in self._definitions() if definition["name"] == stream)

    def _definitions(self) -> list[dict[str, Any]]:
        definitions: list[dict[str, Any]] = self.resolved_manifest["streams"]
        return definitions

    def _transport(self, retry_seconds: float = RETRY_SECONDS) -> Transport:
        settings = self._close_config or parse_config({})
        ours = f"source-close/{version('source-close')}"
        user_agent = f"{settings.user_agent} {ours}" if settings.user_agent else ours
        return Transport(max_in_flight=settings.num_workers, user_agent=user_agent, retry_seconds=retry_seconds)

    def _change_log(self, transport: Transport) -> ChangeLog | None:
        if self._close_config is None or not self._close_config.capture_changes:
            return None
        definition = self._definition(EVENT_LOG)

        def read_events(start: datetime, end: datetime) -> Iterator[list[Row]]:
            cursor = WindowCursor(
                stream_name=EVENT_LOG,
                cursor_field=CursorField(definition["incremental_sync"]["cursor_field"]),
                start=start,
                end=end,
                message_repository=NoopMessageRepository(),
                state_manager=ConnectorStateManager(),
            )
            return self._pages(definition, transport, cursor)

        return ChangeLog(self._started_at, parse_duration(definition["retriever"]["retention"]), read_events)

    def _build(
        self,
        definition: Mapping[str, Any],
        transport: Transport,
        fields: FieldDefinitions | None = None,
        cursor: WindowCursor | None = None,
        change_log: ChangeLog | None = None,
    ) -> _Parts:
        """Build a stream, with its own cursor unless another is given."""
        name, incremental_sync = definition["name"], definition["incremental_sync"]
        refetch = self._refetch(definition, transport) if change_log else None
        if cursor is None:
            cursor = self._build_cursor(definition, transport if refetch else None)
        if change_log is not None and name in self._selected:
            if name == EVENT_LOG:
                change_log.serve_from(cursor)
            elif refetch is not None and cursor.log_position is not None:
                change_log.register(name, definition["retriever"]["changes"]["object_types"], cursor.log_position)
        bounds = {
            bound: incremental_sync[option]["field_name"]
            for bound, option in (("lower_bound", "start_time_option"), ("upper_bound", "end_time_option"))
            if option in incremental_sync
        }
        retriever = self._constructor.create_component(
            CustomRetriever,
            definition["retriever"],
            self._config,
            name=name,
            transport=transport,
            cursor=cursor,
            change_log=change_log,
            refetch=refetch,
            definitions=fields,
            lead_ids=partial(self._lead_ids, transport),
            **bounds,
        )
        for transformation in retriever.transformations:
            if isinstance(transformation, CustomFieldsTransformation):
                transformation.definitions = fields
        schema_loader = self._constructor.create_component(
            InlineSchemaLoader, definition["schema_loader"], self._config
        )
        partitions = DeclarativePartitionFactory(name, schema_loader, retriever, self._message_repository)
        stream = DefaultStream(
            partition_generator=StreamSlicerPartitionGenerator(partitions, cursor),
            name=name,
            json_schema=schema_loader.get_json_schema,
            primary_key=[definition["primary_key"]],
            cursor_field=cursor.cursor_field,
            logger=logging.getLogger(f"airbyte.{name}"),
            cursor=cursor,
        )
        return _Parts(stream, retriever, cursor)

    def _lead_ids(self, transport: Transport) -> Iterator[str]:
        """The ids of all leads, by search."""
        definition = self._definition(LEADS)
        cursor = WindowCursor(
            stream_name=LEADS,
            cursor_field=CursorField("date_created"),
            start=datetime(1970, 1, 1, tzinfo=timezone.utc),
            end=self._started_at + timedelta(days=1),
            message_repository=NoopMessageRepository(),
            state_manager=ConnectorStateManager(),
        )
        ids_only = {**definition, "retriever": {**definition["retriever"], "fields": ["id", "date_created"]}}
        for rows in self._pages(ids_only, transport, cursor):
            yield from (row["id"] for row in rows)

    def _pages(self, definition: Mapping[str, Any], transport: Transport, cursor: WindowCursor) -> Iterator[list[Row]]:
        """The pages of a stream outside the sync's own streams: nothing is emitted or saved."""
        retriever = self._build(definition, transport, cursor=cursor).retriever
        for window_slice in cursor.stream_slices():
            assert isinstance(window_slice, WindowSlice)  # noqa: S101 - a cursor of this kind follows no log
            yield from retriever.read_pages(window_slice)
            cursor.close(window_slice)

    def _refetch(self, definition: Mapping[str, Any], transport: Transport) -> Refetch | None:
        name, changes = definition["name"], definition["retriever"].get("changes")
        if changes is None or name not in self._selected:
            return None
        fields = definition["retriever"].get("fields")
        return Refetch(
            transport=transport,
            requester=self._constructor.create_component(HttpRequester, changes["requester"], self._config, name=name),
            stream=name,
            parameters={**changes.get("parameters", {}), **({"_fields": ",".join(fields)} if fields else {})},
            confirm_one_by_one=changes.get("confirm_one_by_one", False),
        )

    def _build_cursor(self, definition: Mapping[str, Any], log_transport: Transport | None) -> WindowCursor:
        """The manifest's ``DatetimeBasedCursor`` as a ``WindowCursor``.

        It follows the event log if there is a ``log_transport``, which knows how far Close's clock is behind.
        """
        name, retriever, incremental_sync = definition["name"], definition["retriever"], definition["incremental_sync"]

        def evaluated(key: str) -> str:
            return str(InterpolatedString.create(incremental_sync.get(key, ""), parameters={}).eval(self._config))

        def log_end() -> datetime:
            lead = log_transport.clock_lead if log_transport else timedelta()
            return floor_to_millisecond(self._started_at - lead)

        router = retriever.get("partition_router")
        partitions = [{router["cursor_field"]: value} for value in router["values"]] if router else [{}]
        lookback, retention = evaluated("lookback_window"), retriever.get("retention")
        field = CursorField(incremental_sync["cursor_field"])
        return WindowCursor(
            stream_name=name,
            cursor_field=field,
            start=parse_moment(evaluated("start_datetime")),
            end=self._started_at,
            lookback=parse_duration(lookback or "PT0S"),
            retention=parse_duration(retention) if retention else None,
            saved=load_state(name, field.cursor_field_key, self._connector_state_manager.get_stream_state(name, None)),
            partitions=partitions,
            message_repository=self._message_repository,
            state_manager=self._connector_state_manager,
            log_end=log_end if log_transport else None,
        )


def _refusal(parts: _Parts) -> CloseApiError | None:
    """Try a stream; the error if the key may not read it.

    Raises:
        CloseApiError: it can't be read for another reason.
    """
    try:
        parts.retriever.try_one(next(iter(parts.cursor.stream_slices())))
    except CloseApiError as error:
        if error.status in PERMISSION_STATUSES:
            return error
        raise
    return None
