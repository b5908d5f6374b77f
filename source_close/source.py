"""The source: the CDK reads the manifest's streams; this module adds what a manifest can't express."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from airbyte_cdk import AirbyteTracedException, models
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

from source_close.api.error_handler import FORBIDDEN, CloseApiError
from source_close.api.sync import Sync
from source_close.dates import format_moment, moment_of, parse_moment, utc_now

LOG_POSITION = "event_log_position"
READ_FAILURE = "Concurrent read failure"  # the message of the CDK's exception when some streams failed


def load_manifest() -> dict[str, Any]:
    """Load manifest.yaml, which is inside the package in a wheel and beside it in a checkout."""
    paths = (folder / "manifest.yaml" for folder in Path(__file__).resolve().parents[:2])
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C version takes a fifth of the time
    return dict(yaml.load(next(filter(Path.is_file, paths)).read_bytes(), loader))  # noqa: S506 - both are safe loaders


def stream_states(state: Iterable[Any], catalog: Any) -> list[models.AirbyteStateMessage]:
    """Return the states by stream, also from a global state, of the streams that ``catalog`` reads incrementally."""
    incremental = {one.stream.name for one in catalog.streams if one.sync_mode == models.SyncMode.incremental}
    states = [one for each in state for one in (each.global_.stream_states if each.global_ else [each.stream])]
    wanted = [one for one in states if one and one.stream_state and one.stream_descriptor.name in incremental]
    return [models.AirbyteStateMessage(type=models.AirbyteStateType.STREAM, stream=one) for one in wanted]


class LogPositions:
    """Adds each stream's position in the event log to its states, since a component can't add to the CDK's states.

    ``to_follow`` maps a stream to the saved position or, if there is none or a future one, the saved cursor: this sync
    reads the log from there. A stream's states keep it until the stream is complete, so that an interruption hides no
    deletion. Without either, they have the start of this sync, from before the first record on. A stream that is not in
    ``followed`` keeps its saved position. The stream event_log has one too, since its cursor is only its newest event.
    """

    def __init__(self, followed: Collection[str], state: Iterable[Any]) -> None:
        self._states = {one.stream.stream_descriptor.name: vars(one.stream.stream_state) for one in state}
        self._complete, self._followed, keys = set[str](), followed, (LOG_POSITION, "date_updated", "date_created")
        saved = {name: [moment_of(self._states.get(name, {}), key) for key in keys] for name in followed}
        found = {name: [at for at in saved[name] if at and at < utc_now() + timedelta(minutes=5)] for name in followed}
        self.to_follow = {name: format_moment(moments[0]) for name, moments in found.items() if moments}
        self._not_followed = set(followed) - set(self.to_follow)

    def add_to(self, messages: Iterable[Any], config: Mapping[str, Any]) -> Iterator[models.AirbyteMessage]:
        """Yield the messages, with positions in the states. ``config`` has ``end`` (ISO date-time) and ``sync_id``."""
        for message in messages:
            status = message.trace.stream_status if message.trace else None
            stream = message.state.stream if message.state else None
            descriptor = getattr(status or stream, "stream_descriptor", None)
            name = descriptor.name if descriptor else None
            if name and status and status.status == models.AirbyteStreamStatus.COMPLETE:
                self._complete.add(name)
            elif name and stream:
                stream.stream_state = self._with_position(name, vars(stream.stream_state), config)
            elif status and status.status == models.AirbyteStreamStatus.STARTED and name in self._not_followed:
                blob = self._with_position(name, self._states.get(name, {}), config)
                first = models.AirbyteStreamState(status.stream_descriptor, blob)
                state = models.AirbyteStateMessage(models.AirbyteStateType.STREAM, first)
                yield models.AirbyteMessage(models.Type.STATE, state=state)
            yield message

    def _with_position(self, name: str, state: Mapping[str, Any], config: Mapping[str, Any]) -> models.AirbyteStateBlob:
        saved, sync = self._states.get(name, {}).get(LOG_POSITION), Sync.of(config)
        position = self.to_follow.get(name, saved)
        is_reached = name in self._followed and name in self._complete and not sync.is_log_forbidden
        if is_reached or name in self._not_followed:
            position = format_moment(parse_moment(config["end"]) - (sync.clock_lead or timedelta()))
        return models.AirbyteStateBlob({**state, LOG_POSITION: position} if position else dict(state))


class SourceClose(ConcurrentDeclarativeSource):
    """The Airbyte source for Close. It saves the positions in the event log, and checks each stream."""

    def __init__(self, catalog: Any = None, config: Mapping[str, Any] | None = None, state: Any = None) -> None:
        manifest, self._given, self._catalog = load_manifest(), dict(config or {}), catalog
        state = stream_states(state or [], catalog) if catalog else []
        following = [name for name, one in manifest["definitions"]["streams"].items() if "changes" in one["retriever"]]
        followed = ["event_log", *(following if self._given.get("capture_changes") is not False else ())]
        self._positions = LogPositions(followed, state)
        if config is not None:
            defaults = {"custom_field_columns": False} if catalog else {"retry_seconds": 20}  # no read: a user waits
            self._given = {**defaults, **config, "event_log_positions": self._positions.to_follow}
            self._given |= {"sync_id": uuid4().hex, "end": format_moment(utc_now())}
        super().__init__(catalog, self._given or None, state, source_config=manifest)

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Use ``config`` if the source was made without one."""
        if not self._given:
            SourceClose.__init__(self, None, config)
        return super().configure(config, temp_dir)

    def read(self, logger: Any, config: Any, catalog: Any, state: Any = None) -> Iterator[models.AirbyteMessage]:
        """Yield a read's messages, one error per stream. At the end raise ``AirbyteTracedException`` if one failed."""
        if self._catalog is None:
            yield from SourceClose(catalog, config, state).read(logger, config, catalog, state)
            return
        failed, known = set[str | None](), [stream["name"] for stream in self.resolved_manifest["streams"]]
        unknown = [one.stream.name for one in catalog.streams if one.stream.name not in known]
        advice = f"this stream doesn't exist. The streams are {', '.join(known)}. Refresh the connection's schema."
        for name in unknown:
            yield CloseApiError(name, advice, models.FailureType.config_error).as_airbyte_message()
        for message in self._positions.add_to(super().read(logger, config, catalog, state), self._given):
            error = message.trace.error if message.trace else None
            name = error.stream_descriptor.name if error and error.stream_descriptor else None
            if error and error.failure_type != models.FailureType.system_error:
                error.stack_trace = None  # the code is not the cause
            if name not in failed:
                yield message
            failed |= {name} - {None}
        if unknown:
            raise AirbyteTracedException(internal_message=READ_FAILURE, failure_type=models.FailureType.config_error)

    def check(self, logger: Any, config: Any) -> models.AirbyteConnectionStatus:
        """Read a page of each stream. Name those the key may not read; fail if that is all, or at any other error."""
        given = {**self._given, "custom_field_columns": False}
        streams, refused = SourceClose(None, given, None).streams(given), list[str]()
        for stream in streams:
            try:
                next(iter(next(iter(stream.generate_partitions())).read()), None)
            except AirbyteTracedException as error:  # noqa: PERF203 - few streams
                if getattr(error, "status", None) not in FORBIDDEN:
                    return models.AirbyteConnectionStatus(models.Status.FAILED, str(error))
                logger.warning("This key can't read every stream. %s", error)
                refused.append(str(error))
        status = models.Status.FAILED if len(refused) == len(streams) else models.Status.SUCCEEDED
        return models.AirbyteConnectionStatus(status, " ".join(refused) or None)
