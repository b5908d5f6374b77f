"""Let streams take turns in handing out their windows, so that they are read side by side.

Close limits the requests of each group of endpoints, and each stream has a group of its own.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.streams.windows import WindowCursor

# Waits end, so that no change of the CDK can make a read hang. A turn takes milliseconds.
_MAX_WAIT_SECONDS = 1.0
_MAX_WAIT_AT_START_SECONDS = 0.2


class Turns:
    """The share of its windows that each stream has handed out. Thread-safe.

    A stream waits for those that hand out windows and have handed out a smaller share. It waits
    only a moment for streams to begin, since with few workers the CDK begins one after the other.

    Args:
        streams: how many streams are read.
    """

    def __init__(self, streams: int) -> None:
        self._not_begun = streams
        self._share_of = dict[object, float]()
        self._changed = threading.Condition()

    def take(self, windows: Sequence[Partition]) -> Iterator[Partition]:
        """Yield the windows of a stream, each when it is the stream's turn."""
        stream = object()  # only its identity counts
        with self._changed:
            self._share_of[stream] = 0.0
            self._not_begun -= 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._not_begun <= 0, _MAX_WAIT_AT_START_SECONDS)
        try:
            for number, window in enumerate(windows):
                with self._changed:
                    self._share_of[stream] = number / len(windows)
                    self._changed.notify_all()
                    self._changed.wait_for(
                        lambda: self._share_of[stream] == min(self._share_of.values()),
                        _MAX_WAIT_SECONDS,
                    )
                yield window
        finally:
            with self._changed:
                del self._share_of[stream]
                self._changed.notify_all()


class StreamInTurn:
    """A stream that hands out its windows in turn with the others, and is otherwise ``stream``.

    ``ConcurrentSource``, the built-in, queues all windows of the first stream before those of the
    next: they take all workers, which then wait for the rate limit of one group.

    Args:
        stream: the stream.
        turns: what the streams of a read share.
        newest_early: whether the newest window comes second. It is often the largest, so it should
            not begin last; but if it leads to the event log, all others should have begun.
    """

    def __init__(self, stream: AbstractStream, turns: Turns, *, newest_early: bool) -> None:
        self._stream = stream
        # The CDK takes the cursor from the stream, and asks for the name twice a record.
        self.cursor = WindowCursor(stream.cursor, stream.cursor_field or "")
        self.name = stream.name
        self._turns = turns
        self._newest_early = newest_early

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has under this name."""
        return getattr(self._stream, name)

    def generate_partitions(self) -> Iterator[Partition]:
        """Yield the windows of the stream, each in its turn."""
        windows = list(self._stream.generate_partitions())
        if self._newest_early and len(windows) > 1:
            newest = windows.pop()
            windows.insert(1, newest)
        return self._turns.take(windows)
