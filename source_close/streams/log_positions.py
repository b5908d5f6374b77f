"""The position in the event log from which the next sync follows it, in the states of streams."""

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from airbyte_cdk import models

from source_close.api.sync import Sync
from source_close.dates import format_moment, moment_of, utc_now
from source_close.streams.event_log import EventLog

POSITION = "event_log_position"  # the key in a stream's state
# A sync follows the log from the first of these that a state has.
_STARTS = (POSITION, "date_updated", "date_created")
_MAX_CLOCK_LEAD = timedelta(minutes=5)


class LogPositions:
    """Adds each stream's position to its states, since a component can't add to the CDK's states.

    A sync follows the log from the saved position or, if there is none or a future one, from the
    saved cursor. A stream's states keep that moment until the stream is complete, so that an
    interruption hides no deletion; then they get the start of the sync. Without either, they have
    the start of the sync from before the first record on. A stream that is not followed keeps its
    position. ``event_log`` has one too, since its cursor is only its newest event.

    Args:
        followed: the names of the streams that have a position.
        states: the saved states of streams.

    Attributes:
        saved: the moment from which each followed stream that was read before continues.
    """

    def __init__(
        self, followed: Collection[str], states: Iterable[models.AirbyteStateMessage]
    ) -> None:
        self._followed = followed
        streams = [state.stream for state in states if state.stream]
        self._states = {one.stream_descriptor.name: vars(one.stream_state) for one in streams}
        self._complete = set[str]()
        self.saved = dict[str, str]()
        latest = utc_now() + _MAX_CLOCK_LEAD
        for name in followed:
            moments = [moment_of(self._states.get(name, {}), key) for key in _STARTS]
            past_moments = [moment for moment in moments if moment and moment < latest]
            if past_moments:
                self.saved[name] = format_moment(past_moments[0])

    def add_to(
        self, messages: Iterable[models.AirbyteMessage], sync: Sync
    ) -> Iterator[models.AirbyteMessage]:
        """Yield the messages of a read, with positions in the states."""
        for message in messages:
            if message.trace and message.trace.stream_status:
                status = message.trace.stream_status
                name = status.stream_descriptor.name
                if status.status == models.AirbyteStreamStatus.COMPLETE:
                    self._complete.add(name)
                is_start = status.status == models.AirbyteStreamStatus.STARTED
                if is_start and name in self._followed and name not in self.saved:
                    blob = models.AirbyteStateBlob(self._states.get(name, {}))
                    stream = models.AirbyteStreamState(status.stream_descriptor, blob)
                    yield self._with_position(_state_message(stream), sync)
            yield self._with_position(message, sync)

    def _with_position(self, message: models.AirbyteMessage, sync: Sync) -> models.AirbyteMessage:
        if message.state and message.state.stream:
            stream = message.state.stream
            name = stream.stream_descriptor.name
            position = self.saved.get(name, sync["end"])
            if name in self._complete and not sync.share(EventLog).is_forbidden:
                position = sync["end"]
            if name not in self._followed:
                position = self._states.get(name, {}).get(POSITION)
            if position:
                blob = {**vars(stream.stream_state), POSITION: position}
                stream.stream_state = models.AirbyteStateBlob(blob)
        return message


def _state_message(stream: models.AirbyteStreamState) -> models.AirbyteMessage:
    state = models.AirbyteStateMessage(models.AirbyteStateType.STREAM, stream)
    return models.AirbyteMessage(models.Type.STATE, state=state)
