"""The figures of a run."""

from dataclasses import dataclass
from typing import Any

_MEGABYTE = 1e6


@dataclass(frozen=True)
class StreamFigures:
    """Counts of one stream: rows written, distinct records among them, records on the server, records not read."""

    rows: int
    distinct: int
    expected: int
    missing: int


@dataclass(frozen=True)
class RunFigures:
    """The figures of one full read by one program."""

    program: str
    latency: float
    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    output_bytes: int
    server_cpu_seconds: float
    requests: dict[str, Any]
    streams: dict[str, StreamFigures]

    @property
    def records(self) -> int:
        """The number of records on the server that were read."""
        return self.expected - self.missing

    @property
    def expected(self) -> int:
        """The number of records on the server."""
        return sum(stream.expected for stream in self.streams.values())

    @property
    def missing(self) -> int:
        """The number of records on the server that were not read."""
        return sum(stream.missing for stream in self.streams.values())

    @property
    def cpu_per_thousand(self) -> float:
        """CPU seconds per 1,000 records read."""
        return self.cpu_seconds * 1_000 / max(self.records, 1)

    @property
    def peak_megabytes(self) -> float:
        """The peak memory in megabytes."""
        return self.peak_bytes / _MEGABYTE

    @property
    def refused(self) -> int:
        """The number of responses with status 429."""
        return int(self.requests["by_status"].get("429", 0))
