"""The source: the manifest's streams on the CDK's own runtime, and what has no place there."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from airbyte_cdk import AirbyteTracedException, models
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

from source_close.components.error_handler import CloseApiError
from source_close.moments import format_moment, moment_of, parse_moment, utc_now
from source_close.sync import Sync

LOG_POSITION = "event_log_position"
READ_FAILURE = "Concurrent read failure"  # how the CDK ends a read some of whose streams have failed


def load_manifest() -> dict[str, Any]:
    """Read manifest.yaml: beside the package in a wheel, at the top of the project in a checkout."""
    paths = (folder / "manifest.yaml" for folder in Path(__file__).resolve().parents[:2])
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, it takes a fifth of the time
    return dict(yaml.load(next(filter(Path.is_file, paths)).read_bytes(), loader))  # noqa: S506 - both are safe loaders


def stream_states(state: Iterable[Any], catalog: Any) -> list[models.AirbyteStateMessage]:
    """The states of single streams, in whichever form they come; none of those that ``catalog`` wants whole."""
    streams = catalog.streams if catalog else ()
    whole = {one.stream.name for one in streams if one.sync_mode == models.SyncMode.full_refresh}
    states = [one for each in state for one in (each.global_.stream_states if each.global_ else [each.stream])]
    wanted = [one for one in states if one and one.stream_state and one.stream_descriptor.name not in whole]
    return [models.AirbyteStateMessage(type=models.AirbyteStateType.STREAM, stream=one) for one in wanted]


class LogPositions:
    """Where each stream that follows the event log goes on in it, which the CDK's states have no place for.

    The position moves when a stream is complete, before its last state. Until then states keep that of the sync before,
    or of the beginning of a first sync, from before its first record on, so that an interruption hides no deletion.
    ``to_follow`` has by stream where to go on, without a position the cursor; ``are_followed`` is false if this sync
    does not follow the log: positions are then kept as they are.
    """

    def __init__(self, streams: Collection[str], state: Iterable[Any], *, are_followed: bool) -> None:
        states = {one.stream.stream_descriptor.name: vars(one.stream.stream_state) for one in state}
        self._streams, self._complete, self._are_followed = streams, set[str](), are_followed
        self._saved = {name: states[name].get(LOG_POSITION) for name in streams if name in states}
        self._without_position = {name for name in streams if are_followed and not self._saved.get(name)}
        keys = (LOG_POSITION, "date_updated", "date_created") if are_followed else ()
        found = {name: next((key for key in keys if moment_of(states[name], key)), None) for name in self._saved}
        self.to_follow = {name: states[name][key] for name, key in found.items() if key}

    def add_to(self, messages: Iterable[Any], config: Mapping[str, Any]) -> Iterator[models.AirbyteMessage]:
        """Yield the messages, states with the position; ``config`` has ``end`` and ``sync_id``."""
        for message in messages:
            status = message.trace.stream_status if message.trace else None
            stream = message.state.stream if message.state else None
            descriptor = getattr(status or stream, "stream_descriptor", None)
            name = descriptor.name if descriptor and descriptor.name in self._streams else None
            if name and status and status.status == models.AirbyteStreamStatus.COMPLETE:
                self._complete.add(name)
            elif name and stream:
                state = self._with_position(name, vars(stream.stream_state), config)
                stream.stream_state = models.AirbyteStateBlob(state)
            elif status and status.status == models.AirbyteStreamStatus.STARTED and name in self._without_position:
                first = {"stream_descriptor": {"name": name}, "stream_state": self._with_position(name, {}, config)}
                state = {"type": "STREAM", "stream": first}
                yield models.AirbyteMessageSerializer.load({"type": "STATE", "state": state})
            yield message

    def _with_position(self, name: str, state: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        position, sync = self._saved.get(name), Sync.of(config)
        is_reached = self._are_followed and name in self._complete and not sync.is_log_forbidden
        if is_reached or name in self._without_position:
            position = format_moment(parse_moment(config["end"]) - (sync.clock_lead or timedelta()))
        return {**state, LOG_POSITION: position} if position else dict(state)


class SourceClose(ConcurrentDeclarativeSource):
    """Close as an Airbyte source: keeps the positions in the event log, and words a check stream by stream."""

    def __init__(self, catalog: Any = None, config: Mapping[str, Any] | None = None, state: Any = None) -> None:
        manifest, self._given, self._catalog = load_manifest(), dict(config or {}), catalog
        state = stream_states(state or [], catalog)
        following = [one["name"] for one in manifest["definitions"].values() if "changes" in one.get("retriever", {})]
        self._positions = LogPositions(following, state, are_followed=self._given.get("capture_changes") is not False)
        if config is not None:
            defaults = {"custom_field_columns": False} if catalog else {"retry_seconds": 20}  # a person waits
            self._given = {**defaults, **config, "event_log_positions": self._positions.to_follow}
            self._given |= {"sync_id": uuid4().hex, "end": format_moment(utc_now())}
        super().__init__(catalog, self._given or None, state, source_config=manifest)

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Take ``config`` if none was given at first."""
        if not self._given:
            SourceClose.__init__(self, None, config)
        return super().configure(config, temp_dir)

    def read(self, logger: Any, config: Any, catalog: Any, state: Any = None) -> Iterator[models.AirbyteMessage]:
        """Read the streams of ``catalog`` from ``state`` on; of the windows of a stream the first to fail says so."""
        if self._catalog is None:
            yield from SourceClose(catalog, config, state).read(logger, config, catalog, state)
            return
        failed, known = set[str | None](), [stream["name"] for stream in self.resolved_manifest["streams"]]
        unknown = [one.stream.name for one in catalog.streams if one.stream.name not in known]
        advice = f"there is no such stream, only {', '.join(known)}. Refresh the schema of the connection."
        for name in unknown:
            yield CloseApiError(name, advice, models.FailureType.config_error).as_airbyte_message()
        for message in self._positions.add_to(super().read(logger, config, catalog, state), self._given):
            error = message.trace.error if message.trace else None
            name = error.stream_descriptor.name if error and error.stream_descriptor else None
            if error and error.failure_type != models.FailureType.system_error:
                error.stack_trace = None  # nothing went wrong in the code
            if name not in failed:
                yield message
            failed |= {name} - {None}
        if unknown:
            raise AirbyteTracedException(internal_message=READ_FAILURE, failure_type=models.FailureType.config_error)

    def check(self, logger: Any, config: Any) -> models.AirbyteConnectionStatus:
        """Try each stream. One that the key may not read is named and fails the check only if there is no other."""
        given = {**self._given, "custom_field_columns": False}
        streams, refused = SourceClose(None, given, None).streams(given), list[str]()
        for stream in streams:
            try:
                next(iter(next(iter(stream.generate_partitions())).read()), None)
            except AirbyteTracedException as error:  # noqa: PERF203 - six times
                if " answered 401" in str(error) or error.failure_type != models.FailureType.config_error:
                    return models.AirbyteConnectionStatus(models.Status.FAILED, str(error))
                logger.warning("This key can't read every stream. %s", error)
                refused.append(str(error))
        status = models.Status.FAILED if len(refused) == len(streams) else models.Status.SUCCEEDED
        return models.AirbyteConnectionStatus(status, " ".join(refused) or None)
