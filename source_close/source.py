"""The source: builds the manifest's streams around this connector's cursor, and checks a connection."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
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
from airbyte_cdk.sources.declarative.models.declarative_component_schema import HttpRequester
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from source_close.config import CloseConfig, parse_config
from source_close.errors import PERMISSION_STATUSES, CloseApiError
from source_close.page_queue import PageQueue
from source_close.stream_builder import EVENT_LOG, BuiltStream, StreamBuilder
from source_close.transport import RETRY_SECONDS, Transport
from source_close.windows import utc_now

_PACKAGE = Path(__file__).resolve().parent
# Pages that wait for the printer. The CDK's 10,000 records take over 100 MB.
_LONGEST_QUEUE = 20
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


class SourceClose(ConcurrentDeclarativeSource):
    """Close as an Airbyte source.

    What the streams are stands in manifest.yaml, and ``StreamBuilder`` builds them; this class answers the protocol's
    commands.
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
        self._selected: set[str] | None = None
        self._close_config: CloseConfig | None = parse_config(config) if config is not None else None
        super().__init__(
            catalog=catalog,
            config=self._close_config.for_manifest(self._started_at) if self._close_config else None,
            state=state,
            source_config=load_manifest(),
        )
        # The CDK makes these two around a queue of its own, and offers no other way to have them share this one.
        self._queue = PageQueue(_LONGEST_QUEUE)
        self._concurrent_source._queue = self._queue  # noqa: SLF001 - see above
        self._message_repository._queue = self._queue  # type: ignore[attr-defined] # noqa: SLF001 - see above

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Take ``config`` if none was given when the source was made.

        Raises:
            AirbyteTracedException: (config error) it can't be used.
        """
        if self._close_config is None:
            SourceClose.__init__(self, config=config)
        return super().configure(config, temp_dir)

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the streams of the manifest, the selected ones only once ``read`` has told which they are."""
        builder = self._builder()
        if self._selected is None:
            return [built.stream for built in builder.build_all()]
        capture = self._settings.capture_changes
        return [built.stream for built in builder.build_selected(self._selected, capture_changes=capture)]

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

    def stop(self) -> None:
        """End the readers of an unfinished ``read``; Python would wait for them before it exits, and they for room."""
        self._queue.close()

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """The streams, with a column for each custom field of the account.

        Raises:
            CloseApiError: Close does not accept the key. Whatever else keeps the fields from being read is a warning.
        """
        catalog = super().discover(logger, config)
        schemas = self._builder().fields.add_columns({stream.name: stream.json_schema for stream in catalog.streams})
        for stream in catalog.streams:
            stream.json_schema = schemas[stream.name]
        return catalog

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Prove the key by ``GET /me/``, then try each stream with the cheapest request there is.

        A stream that the key may not read is named in a warning and does not fail the check, unless there is no other.
        """
        transport = self._transport(_CHECK_RETRY_SECONDS)
        try:
            self._check_key(transport)
            streams = self._builder(transport).build_all()
            refusals = [refusal for built in streams if (refusal := _refusal(built))]
        except CloseApiError as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        for refusal in refusals:
            logger.warning("This key can't read every stream. %s", refusal)
        return AirbyteConnectionStatus(
            status=Status.FAILED if len(refusals) == len(streams) else Status.SUCCEEDED,
            message=" ".join(str(refusal) for refusal in refusals) or None,
        )

    def _check_key(self, transport: Transport) -> None:
        definition = self.resolved_manifest["definitions"]["key_requester"]
        requester = self._constructor.create_component(HttpRequester, definition, self._config, name="me")
        transport.fetch(transport.endpoint(requester, "connection"), is_list=False)

    @property
    def _settings(self) -> CloseConfig:
        return self._close_config or parse_config({})

    def _transport(self, retry_seconds: float) -> Transport:
        ours, theirs = f"source-close/{version('source-close')}", self._settings.user_agent
        return Transport(
            max_in_flight=self._settings.num_workers,
            user_agent=f"{theirs} {ours}" if theirs else ours,
            retry_seconds=retry_seconds,
        )

    def _builder(self, transport: Transport | None = None) -> StreamBuilder:
        return StreamBuilder(
            definitions=self.resolved_manifest["streams"],
            create=self._constructor.create_component,
            config=self._config,
            transport=transport or self._transport(RETRY_SECONDS),
            started_at=self._started_at,
            message_repository=self._message_repository,
            state_manager=self._connector_state_manager,
        )


def _refusal(built: BuiltStream) -> CloseApiError | None:
    """Try a stream; the error if the key may not read it.

    Raises:
        CloseApiError: it can't be read for another reason.
    """
    try:
        built.retriever.try_one(next(iter(built.cursor.stream_slices())))
    except CloseApiError as error:
        if error.status in PERMISSION_STATUSES:
            return error
        raise
    return None
