"""Build the tables for the terminal and for docs/performance.md."""

from dataclasses import dataclass

from .compare import Comparison
from .figures import RunFigures
from .memory import LARGEST_MEGABYTES
from .second_read import SecondRead
from .server import STREAMS
from .side_by_side import REQUESTS_PER_SECOND, seconds_of_the_limit


@dataclass(frozen=True)
class Table:
    """Cells as text; the columns after the first are right-aligned."""

    title: str
    head: list[str]
    rows: list[list[str]]


def overview(figures: Comparison) -> Table:
    """Return one row per run, and one row with the ratios of each pair."""
    head = ["", "latency", "wall time", "CPU s / 1,000", "peak memory", "requests", "429s", "records", "complete"]
    rows = []
    for number, run in enumerate(figures.runs):
        rows.append(_run_cells(run))
        if number % 2:
            tap = figures.runs[number - 1]
            ratios = [
                tap.wall_seconds / run.wall_seconds,
                tap.cpu_per_thousand / run.cpu_per_thousand,
                tap.peak_bytes / run.peak_bytes,
            ]
            values = [f"{ratio:.1f} x" for ratio in ratios]
            rows.append(["tap / connector", _latency(run), *values, "", "", "", ""])
    return Table("A full read of everything", head, rows)


def _run_cells(run: RunFigures) -> list[str]:
    return [
        run.program + (f" (exit code {run.exit_code})" if run.exit_code else ""),
        _latency(run),
        f"{run.wall_seconds:.1f} s",
        f"{run.cpu_per_thousand:.3f}",
        f"{run.peak_megabytes:.0f} MB",
        f"{run.requests['total']:,}",
        str(run.refused),
        f"{run.records:,}",
        _share(run.records, run.expected),
    ]


def completeness(figures: Comparison) -> Table:
    """Return one row per stream with the records that each program read at the last latency."""
    tap, connector = figures.runs[-2:]
    rows = []
    for stream in STREAMS:
        both = [run.streams[stream] for run in (tap, connector)]
        cells = [f"{one.expected - one.missing:,}" for one in both]
        twice = [one.rows - one.distinct for one in both]
        rows.append([stream, f"{both[1].expected:,}", *cells, " / ".join(f"{number:,}" for number in twice)])
    head = ["stream", "on the server", tap.program, connector.program, "written twice"]
    return Table("Records read, by stream", head, rows)


def server_load(figures: Comparison) -> Table:
    """Return how close the server was to its limit in each run."""
    alone = figures.alone
    plain = f"plain loop, {alone.connections} connections ({alone.megabytes_per_second:.0f} MB/s)"
    rows = [[plain, "0 ms", *_load_cells(alone.requests, alone.server_cpu_seconds, alone.wall_seconds)]]
    for run in figures.runs:
        cells = _load_cells(run.requests["total"], run.server_cpu_seconds, run.wall_seconds)
        rows.append([run.program, _latency(run), *cells])
    return Table("The server: one thread", ["read by", "latency", "requests/s", "CPU can serve", "core busy"], rows)


def _load_cells(requests: int, cpu: float, wall: float) -> list[str]:
    """Return the requests per second, the requests per second that would fill the core, and the load of the core."""
    return [f"{requests / wall:.0f}", f"{requests / max(cpu, 0.01):.0f}", f"{cpu / wall:.0%}"]


def second_read(figures: SecondRead) -> Table:
    """Return the incremental read next to the start times, which are its lower bound."""
    rows = [[name, f"{seconds:.2f} s", ""] for name, seconds in figures.starts.items()]
    rows.append(["source-close, nothing new", f"{figures.wall_seconds:.2f} s", str(figures.requests["total"])])
    return Table("An incremental read", ["", "wall time", "requests"], rows)


def memory(run: RunFigures) -> Table:
    """Return the peak memory with a large account."""
    activities = run.streams["activities"]
    cells = [
        f"{activities.expected - activities.missing:,} of {activities.expected:,}",
        f"{run.output_bytes / 1e6:.0f} MB",
        f"{run.peak_megabytes:.0f} MB",
        f"{LARGEST_MEGABYTES} MB",
        f"{run.wall_seconds:.0f} s",
    ]
    return Table("A large account", ["activities", "output", "peak memory", "at most", "wall time"], [cells])


def side_by_side(run: RunFigures) -> Table:
    """Return the time of a read of four large streams next to the time that the rate limit makes the largest take."""
    limit = seconds_of_the_limit(run)
    cells = [
        f"{REQUESTS_PER_SECOND} requests/s",
        f"{run.requests['total']:,}",
        str(run.refused),
        f"{limit:.1f} s",
        f"{run.wall_seconds:.1f} s",
        f"{run.cpu_seconds:.1f} s",
        f"{run.peak_megabytes:.0f} MB",
        _share(run.records, run.expected),
    ]
    head = ["each group", "requests", "429s", "largest stream alone", "wall time", "CPU", "peak memory", "complete"]
    return Table("Four large streams with rate limits", head, [cells])


def _latency(run: RunFigures) -> str:
    return f"{run.latency * 1_000:.0f} ms"


def _share(part: int, whole: int) -> str:
    """Return a percentage that is 100 only if nothing is missing."""
    if part == whole:
        return "100 %"
    return f"{min(int(part * 1_000 / whole) / 10, 99.9)} %"
