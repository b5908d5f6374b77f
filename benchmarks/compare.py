"""Run tap-closeio and the connector one after the other against the same server."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from . import connector, tap
from .figures import RunFigures, StreamFigures
from .output import read_ids
from .paths import BUILD
from .processes import last_lines, measure
from .saturation import ServerAlone, measure_server
from .server import STREAMS, Server, Sizes

Say = Callable[[str], None]
_RUNS_WITHOUT_LATENCY = 3  # these are short, and differ by a tenth


@dataclass
class Comparison:
    """All figures of the comparison."""

    alone: ServerAlone
    runs: list[RunFigures] = field(default_factory=list)


def compare(sizes: Sizes, latencies: list[float], say: Say) -> Comparison:
    """Run both programs at each latency, in seconds; without latency, those with the median CPU time count."""
    say("Preparing the environment of tap-closeio")
    tap.install()
    say("Starting the local Close API and generating its data")
    with Server(sizes) as server:
        say("Measuring the server without a connector")
        figures = Comparison(measure_server(server, sizes))
        commands = {tap.NAME: tap.prepare(server), connector.NAME: connector.prepare(server)}
        for latency in latencies:
            runs = defaultdict[str, list[RunFigures]](list)
            for _ in range(1 if latency else _RUNS_WITHOUT_LATENCY):
                for program, command in commands.items():
                    say(f"Reading with {program}, {latency * 1_000:.0f} ms latency per request")
                    runs[program].append(run(program, command, latency, server, say))
            figures.runs += [_median(of_program) for of_program in runs.values()]
    return figures


def _median(runs: list[RunFigures]) -> RunFigures:
    return sorted(runs, key=lambda figures: figures.cpu_seconds)[len(runs) // 2]


def run(program: str, command: list[str], latency: float, server: Server, say: Say) -> RunFigures:
    """Measure one full read and compare the records that it wrote with the records on the server."""
    output = BUILD / f"{program}.jsonl"
    server.change(latency=latency)
    server.take_requests()
    cpu = server.cpu_seconds()
    began = datetime.now(timezone.utc)
    variables = tap.variables(server) if program == tap.NAME else None
    used = measure(command, output, variables=variables)
    server_cpu = server.cpu_seconds() - cpu
    requests = server.take_requests()
    server.change(latency=0.0, rate_limit=None)  # for what follows
    if used.exit_code:
        say(f"{program} exited with code {used.exit_code}:\n{last_lines(output)}")
    figures = RunFigures(
        program=program,
        latency=latency,
        output_bytes=output.stat().st_size,
        server_cpu_seconds=server_cpu,
        requests=requests,
        streams=_streams(read_ids(output), server, began),
        **vars(used),
    )
    output.unlink()
    return figures


def _streams(written: dict[str, list[str]], server: Server, began: datetime) -> dict[str, StreamFigures]:
    figures = {}
    for stream in STREAMS:
        expected = server.ids(stream, began)
        rows = written.get(stream, [])
        seen = set(rows)
        figures[stream] = StreamFigures(len(rows), len(seen), len(expected), len(expected - seen))
    return figures
