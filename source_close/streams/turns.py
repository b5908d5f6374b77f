"""Let streams take turns in handing out their windows, so that they are read side by side.

Close limits the rate of each group of endpoints, and each stream has a group of its own.
"""

import time
from collections.abc import Iterator
from typing import Any

from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.streams.windows import WindowCursor

# Each stream hands out its windows evenly in this time. To read the first of them takes longer.
_HAND_OUT_SECONDS = 0.2


class StreamInTurn:
    """A stream that hands out its windows in turn with the others, and is otherwise ``stream``.

    ``ConcurrentSource``, the built-in, queues all windows of the first stream before those of the
    next: they take all workers, which then wait for the rate limit of one group.

    Args:
        stream: the stream.
        newest_early: whether the newest window comes second. It is often the largest, so it should
            not begin last; but if it leads to the event log, all others should have begun.
    """

    def __init__(self, stream: AbstractStream, *, newest_early: bool) -> None:
        self._stream = stream
        # The CDK takes the cursor from the stream, and asks for the name twice a record.
        self.cursor = WindowCursor(stream.cursor, stream.cursor_field or "")
        self.name = stream.name
        self._newest_early = newest_early

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has under this name."""
        return getattr(self._stream, name)

    def generate_partitions(self) -> Iterator[Partition]:
        """Yield the windows of the stream, with a pause between two in which others have a turn."""
        windows = list(self._stream.generate_partitions())
        if self._newest_early and windows:
            windows.insert(1, windows.pop())
        for number, window in enumerate(windows):
            if number:
                time.sleep(_HAND_OUT_SECONDS / len(windows))
            yield window
