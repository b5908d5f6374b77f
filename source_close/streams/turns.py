"""Let streams take turns in handing out their windows, so that they are read side by side.

Close limits the rate of each group of endpoints, and each stream has a group of its own.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.api.sync import Sync
from source_close.streams.windows import WindowCursor

# Each stream hands out its windows evenly in this time. To read the first of them takes longer.
_HAND_OUT_SECONDS = 0.2


class StreamInTurn:
    """A stream that hands out its windows in turn with the others, and is otherwise ``stream``.

    ``ConcurrentSource``, the built-in, queues all windows of the first stream before those of the
    next: they take all workers, which then wait for the rate limit of one group.

    Args:
        stream: the stream.
        newest_last: whether the newest window comes last, as in ``stream``. Otherwise it comes
            second, as it is often the largest.
    """

    def __init__(self, stream: AbstractStream, *, newest_last: bool) -> None:
        self._stream = stream
        # The CDK takes the cursor from the stream, and asks for the name twice a record.
        self.cursor = WindowCursor(stream.cursor, stream.cursor_field or "")
        self.name = stream.name
        self._newest_last = newest_last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def generate_partitions(self) -> Iterator[Partition]:
        """Yield the windows of the stream, with a pause between two in which others have a turn."""
        partitions = list(self._stream.generate_partitions())
        if partitions and not self._newest_last:
            partitions.insert(1, partitions.pop())
        for number, partition in enumerate(partitions):
            if number:
                time.sleep(_HAND_OUT_SECONDS / len(partitions))
            yield partition


class SideBySideSource(ConcurrentDeclarativeSource):
    """Reads the streams side by side: they take turns in handing out their windows."""

    def streams(  # type: ignore[override] # StreamInTurn has all that AbstractStream has
        self, config: Mapping[str, Any]
    ) -> list[StreamInTurn]:
        """Return the manifest's streams, which take turns."""
        sync = Sync.of(config)
        # These may read more when all of their windows are read, so the newest one comes last.
        newest_last = {*sync.event_log_positions, *sync.full_refreshes}
        return [
            StreamInTurn(stream, newest_last=stream.name in newest_last)
            for stream in super().streams(config)
        ]
