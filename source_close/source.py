"""The source: the CDK reads the manifest's streams; this adds what a manifest can't express."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from logging import Logger
from pathlib import Path
from typing import Any

import yaml
from airbyte_cdk import AirbyteTracedException, Source, models
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from source_close.api.errors import FORBIDDEN, LOGGER, CloseApiError
from source_close.api.sync import READ_RETRY_SECONDS, Sync
from source_close.config import CloseConfig
from source_close.dates import format_moment, utc_now
from source_close.streams.custom_fields import PREFIX, partitions_by_list
from source_close.streams.saved_states import LogPositions, is_first_sync, states_to_use
from source_close.streams.turns import SideBySideSource

# The streams that follow the event log if capture_changes is on: those whose retrievers have
# ``changes`` in the manifest.
LOG_FOLLOWERS = ("activities", "leads", "tasks")
USER_WAITS_SECONDS = 20  # how long check and discover wait or retry
READ_FAILURE = "Concurrent read failure"  # the message of the CDK's error if some streams failed
_UNUSED_FIELDS = "The config has fields that the connector does not use: %s."
_UNKNOWN_STREAM = (
    "this stream doesn't exist. The streams are {streams}. Refresh the connection's schema."
)
_REFUSED_STREAM = "This key can't read every stream. %s"
_UNDECLARED = (
    "Stream %s: Close returned columns that the schema does not have: %s. They are emitted, but "
    "destinations with typed columns drop them. Please report them."
)


def load_manifest() -> dict[str, Any]:
    """Load manifest.yaml, which is in the package in a wheel, and beside it in a checkout."""
    package = Path(__file__).resolve().parent
    path = package / "manifest.yaml"
    if not path.is_file():
        path = package.parent / "manifest.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C version takes a fifth as long
    manifest: dict[str, Any] = yaml.load(path.read_bytes(), loader)  # noqa: S506 - both are safe
    return manifest


# A config error for each stream of a catalog that is not one of ``names``.
def _errors_of_unknown_streams(
    catalog: models.ConfiguredAirbyteCatalog, names: Sequence[str]
) -> list[CloseApiError]:
    text = _UNKNOWN_STREAM.format(streams=", ".join(names))
    return [
        CloseApiError(configured.stream.name, text, models.FailureType.config_error)
        for configured in catalog.streams
        if configured.stream.name not in names
    ]


# The messages, but of the errors of a stream only the first; each other one is logged once. An
# error that no bug has caused loses its stack trace.
def _with_one_error_per_stream(
    messages: Iterable[models.AirbyteMessage],
) -> Iterator[models.AirbyteMessage]:
    texts = defaultdict[str, set[str]](set)  # of the errors, by stream
    for message in messages:
        error = message.trace.error if message.trace else None
        if error is None:
            yield message
            continue
        if error.failure_type != models.FailureType.system_error:
            error.stack_trace = None
        known_texts = texts[str(error.stream_descriptor)]
        if not known_texts:
            yield message
        elif error.message not in known_texts:
            LOGGER.error(error.message)
        known_texts.add(error.message)


def with_undeclared_columns_named(
    messages: Iterable[models.AirbyteMessage], schemas: Mapping[str, Mapping[str, Any]]
) -> Iterator[models.AirbyteMessage]:
    """Yield the messages of a read, and at the end log which columns no schema has.

    Only columns at the top of a record count, and not those of custom fields. ``schemas`` has the
    JSON schemas by stream. The columns are logged even if a stream failed, at which the CDK raises.
    """
    seen = defaultdict[str, set[str]](set)
    try:
        for message in messages:
            if message.record:
                seen[message.record.stream].update(message.record.data)
            yield message
    finally:
        for stream in sorted(seen.keys() & schemas.keys()):
            undeclared = seen[stream].difference(schemas[stream]["properties"])
            names = sorted(name for name in undeclared if not name.startswith(PREFIX))
            if names:
                LOGGER.info(_UNDECLARED, stream, ", ".join(names))


# Reads a record of each list of a stream: from the newest window or, as that may be short and
# empty, from the one before.
def _read_a_recent_record(stream: AbstractStream) -> None:
    for partitions in partitions_by_list(stream).values():
        newest_first = [partition.read() for partition in reversed(partitions[-2:])]
        next(chain.from_iterable(newest_first), None)


class SourceClose(Source):
    """The Airbyte source for Close.

    For each command it builds a ``ConcurrentDeclarativeSource``, which takes config, catalog and
    state only when it is made. To that it adds the positions in the event log, a check of every
    stream, one error for each stream that fails, and shorter retries where a user waits.
    """

    def __init__(self) -> None:
        self._manifest = load_manifest()

    def spec(self, logger: Logger) -> models.ConnectorSpecification:
        """Return the manifest's specification, for which the CDK asks in every command."""
        spec = self._manifest["spec"]
        return models.ConnectorSpecification(
            spec["connection_specification"], documentationUrl=spec["documentation_url"]
        )

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Return the config's fields in the types of the spec; raise if it is invalid."""
        unused = sorted(config.keys() - CloseConfig.model_fields.keys())
        if unused:
            LOGGER.warning(_UNUSED_FIELDS, ", ".join(unused))
        # The CDK's method would also write them, with the key, to a file that nothing reads.
        return CloseConfig.of(config).model_dump(mode="json", exclude_none=True)

    def discover(self, logger: Logger, config: Mapping[str, Any]) -> models.AirbyteCatalog:
        """Return the streams, with columns for the account's custom fields.

        A full refresh begins anew after a failure, so none is resumable.
        """
        catalog = self._stock_source(config, custom_field_columns=True).discover(logger, config)
        for stream in catalog.streams:
            stream.is_resumable = False
        return catalog

    def check(self, logger: Logger, config: Mapping[str, Any]) -> models.AirbyteConnectionStatus:
        """Check the streams that ``check`` in the manifest names.

        It warns of those that the key may not read, and fails if these are all, or at any other
        error.
        """
        names = self._manifest["check"]["stream_names"]
        refused = list[str]()
        source = self._stock_source(config, custom_field_columns=False)
        streams = [stream for stream in source.streams(config) if stream.name in names]
        for stream in streams:
            try:
                _read_a_recent_record(stream)
            except AirbyteTracedException as error:  # noqa: PERF203 - few streams
                if getattr(error, "status", None) not in FORBIDDEN:
                    return models.AirbyteConnectionStatus(models.Status.FAILED, str(error))
                LOGGER.warning(_REFUSED_STREAM, error)
                refused.append(str(error))
        status = models.Status.FAILED if len(refused) == len(names) else models.Status.SUCCEEDED
        return models.AirbyteConnectionStatus(status, " ".join(refused) or None)

    def read(
        self,
        logger: Logger,
        config: Mapping[str, Any],
        catalog: models.ConfiguredAirbyteCatalog,
        state: list[models.AirbyteStateMessage] | None = None,
    ) -> Iterator[models.AirbyteMessage]:
        """Yield the messages of a read, with one error for each stream that fails.

        Raises:
            AirbyteTracedException: at the end, if a stream failed or does not exist.
        """
        # A catalog may have a stream twice.
        unique = {configured.stream.name: configured for configured in catalog.streams}
        catalog = models.ConfiguredAirbyteCatalog(list(unique.values()))
        saved_states = state or []
        states = states_to_use(saved_states, catalog)
        followers = [name for name in LOG_FOLLOWERS if name in unique]
        sync = Sync(
            end=format_moment(utc_now()),
            retry_seconds=READ_RETRY_SECONDS,
            custom_field_columns=False,
            full_refreshes=[
                configured.stream.name
                for configured in catalog.streams
                if configured.sync_mode == models.SyncMode.full_refresh
            ],
        )
        positions = LogPositions(
            followers,
            states,
            sync,
            capture_changes=config.get("capture_changes") is not False,
            is_first_sync=is_first_sync(saved_states, sync["end"]),
        )
        source = SideBySideSource(
            catalog, {**config, "sync": sync}, states, source_config=self._manifest
        )
        names = [stream["name"] for stream in source.resolved_manifest["streams"]]
        errors = _errors_of_unknown_streams(catalog, names)
        messages = chain(
            [error.as_airbyte_message() for error in errors],
            positions.add_to(source.read(logger, config, catalog)),
        )
        yield from with_undeclared_columns_named(
            _with_one_error_per_stream(messages), source.resolved_manifest["schemas"]
        )
        if errors:
            raise AirbyteTracedException(
                internal_message=READ_FAILURE, failure_type=models.FailureType.config_error
            )

    # The source for a command at which a user waits.
    def _stock_source(
        self, config: Mapping[str, Any], *, custom_field_columns: bool
    ) -> ConcurrentDeclarativeSource:
        sync = Sync(retry_seconds=USER_WAITS_SECONDS, custom_field_columns=custom_field_columns)
        return ConcurrentDeclarativeSource(
            None, {**config, "sync": sync}, None, source_config=self._manifest
        )
