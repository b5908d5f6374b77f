"""A clock that the local API and the connector's process share."""

import mmap
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path

_SIZE = struct.calcsize("d")


class SharedClock:
    """The real time plus an offset in a file that several processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self._offset())

    def advance(self, seconds: float) -> None:
        struct.pack_into("d", self._memory, 0, self._offset() + seconds)

    def _offset(self) -> float:
        offset: float = struct.unpack_from("d", self._memory, 0)[0]
        return offset
