"""Builds the streams that manifest.yaml declares, around this connector's cursor and one transport."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
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
from airbyte_cdk.sources.message import MessageRepository, NoopMessageRepository
from airbyte_cdk.sources.streams.concurrent.cursor import CursorField
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import Config, StreamSlice
from isodate import parse_duration

from source_close.changes import ChangeLog
from source_close.components.retriever import CloseRetriever
from source_close.components.transformations import CustomFieldsTransformation
from source_close.cursor import WindowCursor, WindowSlice
from source_close.definitions import FieldDefinitions
from source_close.offset_pages import Page, page_of
from source_close.refetch import Refetch
from source_close.state import StreamState, load_state
from source_close.transport import Transport
from source_close.windows import Row, floor_to_millisecond, parse_moment

CUSTOM_FIELDS = "custom_fields"
EVENT_LOG = "event_log"
LEADS = "leads"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class BuiltStream:
    """A stream, and the parts of it that the CDK's stream hides."""

    stream: DefaultStream
    retriever: CloseRetriever
    cursor: WindowCursor


class StreamBuilder:
    """Builds streams for one sync, check or discovery; they share the transport and what was read by one for all.

    ``ConcurrentDeclarativeSource`` would build them as well, but gives each the CDK's own cursor and HTTP client, and a
    manifest can name no others.
    """

    def __init__(
        self,
        *,
        definitions: list[dict[str, Any]],
        create: Callable[..., Any],
        config: Config,
        transport: Transport,
        started_at: datetime,
        message_repository: MessageRepository,
        state_manager: ConnectorStateManager,
    ) -> None:
        """Prepare.

        Args:
            definitions: the streams of the resolved manifest.
            create: makes a component of a definition, as ``ModelToComponentFactory.create_component``.
            config: the values that the manifest refers to.
            transport: sends all requests.
            started_at: when the sync began; the upper bound (exclusive, UTC) of every stream.
            message_repository: where state messages go.
            state_manager: the states saved by the sync before.
        """
        self._definitions = {definition["name"]: definition for definition in definitions}
        self._create = create
        self._config = config
        self._transport = transport
        self._started_at = started_at
        self._message_repository = message_repository
        self._state_manager = state_manager
        self.fields = FieldDefinitions(self._field_page)

    def build_all(self) -> list[BuiltStream]:
        """Every stream, without change capture."""
        return [self._build(definition, self._cursor(definition)) for definition in self._definitions.values()]

    def build_selected(self, selected: set[str], *, capture_changes: bool) -> list[BuiltStream]:
        """The streams of these names; with ``capture_changes`` they follow the event log."""
        definitions = [definition for name, definition in self._definitions.items() if name in selected]
        if not capture_changes:
            return [self._build(definition, self._cursor(definition)) for definition in definitions]
        retention = parse_duration(self._definitions[EVENT_LOG]["retriever"]["retention"])
        change_log = ChangeLog(self._started_at, retention, self._events)
        return [self._build_following(definition, change_log) for definition in definitions]

    def _build_following(self, definition: Mapping[str, Any], change_log: ChangeLog) -> BuiltStream:
        name, changes = definition["name"], definition["retriever"].get("changes")
        if changes is None:
            cursor = self._cursor(definition)
            if name == EVENT_LOG:
                change_log.serve_from(cursor)
            return self._build(definition, cursor, change_log=change_log)
        cursor = self._cursor(definition, log_end=self._log_end)
        if cursor.brings_changes and cursor.log_position is not None:
            overlap = parse_duration(changes["overlap"])
            change_log.register(name, changes["object_types"], cursor.log_position, overlap)
        return self._build(definition, cursor, change_log=change_log, refetch=self._refetch(definition, changes))

    def _build(self, definition: Mapping[str, Any], cursor: WindowCursor, **parts: Any) -> BuiltStream:
        name, incremental_sync = definition["name"], definition["incremental_sync"]
        bounds = {
            bound: incremental_sync[option]["field_name"]
            for bound, option in (("lower_bound", "start_time_option"), ("upper_bound", "end_time_option"))
            if option in incremental_sync
        }
        retriever = self._create(
            CustomRetriever,
            definition["retriever"],
            self._config,
            name=name,
            transport=self._transport,
            cursor=cursor,
            definitions=self.fields,
            lead_ids=self._lead_ids,
            **bounds,
            **parts,
        )
        for transformation in retriever.transformations:
            if isinstance(transformation, CustomFieldsTransformation):
                transformation.definitions = self.fields
        schema_loader = self._create(InlineSchemaLoader, definition["schema_loader"], self._config)
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
        return BuiltStream(stream, retriever, cursor)

    def _cursor(self, definition: Mapping[str, Any], log_end: Callable[[], datetime] | None = None) -> WindowCursor:
        """The manifest's ``DatetimeBasedCursor`` as a ``WindowCursor``."""
        name, retriever, incremental_sync = definition["name"], definition["retriever"], definition["incremental_sync"]

        def evaluated(key: str) -> str:
            return str(InterpolatedString.create(incremental_sync.get(key, ""), parameters={}).eval(self._config))

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
            saved=load_state(name, field.cursor_field_key, self._state_manager.get_stream_state(name, None)),
            partitions=partitions,
            message_repository=self._message_repository,
            state_manager=self._state_manager,
            log_end=log_end,
        )

    def _log_end(self) -> datetime:
        """Where in the event log this sync ends, by Close's clock."""
        return floor_to_millisecond(self._started_at - self._transport.clock_lead)

    def _refetch(self, definition: Mapping[str, Any], changes: Mapping[str, Any]) -> Refetch:
        name, fields = definition["name"], definition["retriever"].get("fields")
        requester = self._create(HttpRequester, changes["requester"], self._config, name=name)
        return Refetch(
            transport=self._transport,
            endpoint=self._transport.endpoint(requester, name),
            parameters={**changes.get("parameters", {}), **({"_fields": ",".join(fields)} if fields else {})},
            confirm_one_by_one=changes.get("confirm_one_by_one", False),
        )

    def _events(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """The events stamped in ``[start, end)``, in pages."""
        definition = self._definitions[EVENT_LOG]
        return self._pages(definition, definition["incremental_sync"]["cursor_field"], start, end)

    def _lead_ids(self) -> Iterator[str]:
        """The ids of all leads."""
        definition = self._definitions[LEADS]
        ids_only = {**definition, "retriever": {**definition["retriever"], "fields": ["id", "date_created"]}}
        for rows in self._pages(ids_only, "date_created", _EPOCH, self._started_at + timedelta(days=1)):
            yield from (row["id"] for row in rows)

    def _pages(
        self, definition: Mapping[str, Any], cursor_field: str, start: datetime, end: datetime
    ) -> Iterator[list[Row]]:
        """Read a stream for the connector's own use: nothing of it is emitted or saved."""
        cursor = WindowCursor(
            stream_name=definition["name"],
            cursor_field=CursorField(cursor_field),
            start=start,
            end=end,
            saved=StreamState(cursor=start),
            message_repository=NoopMessageRepository(),
            state_manager=ConnectorStateManager(),
        )
        retriever = self._build(definition, cursor).retriever
        for window_slice in cursor.stream_slices():
            assert isinstance(window_slice, WindowSlice)  # noqa: S101 - this cursor follows no log
            yield from retriever.read_pages(window_slice)
            cursor.close(window_slice)

    def _field_page(self, kind: str, patience: float | None, skip: int, limit: int) -> Page:
        """A page of the list of custom fields of a kind."""
        definition = self._definitions[CUSTOM_FIELDS]["retriever"]["requester"]
        requester = self._create(HttpRequester, definition, self._config, name=CUSTOM_FIELDS)
        stream_slice = StreamSlice(partition={"object_type": kind}, cursor_slice={})
        # Whoever gives up sooner must not end the stream.
        reader = CUSTOM_FIELDS if patience is None else f"{CUSTOM_FIELDS} (for other streams)"
        params = {"_skip": skip, "_limit": limit}
        endpoint = self._transport.endpoint(requester, reader, stream_slice)
        return page_of(self._transport.fetch(endpoint, params, patience=patience))
