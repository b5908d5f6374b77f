"""Reads repeatedly from a local API that fails and changes during the reads, and checks that no record is lost.

Each run takes everything from a seed: data, settings of the API, faults (10 % of the responses), changes between the
requests, and reads that are killed at random points and continued from the last state that was printed. At the end, the
emitted records must contain every record that exists, with its current values. `make soak` does 300 runs;
`python -m integration_tests.soak --seed 17` repeats one.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import orjson

from integration_tests.close_api import Fault, LocalCloseApi, Settings, Store, Volumes
from integration_tests.close_api.records import Record
from integration_tests.close_api.settings import ListOrder
from integration_tests.close_api.times import to_datetime, to_micros
from integration_tests.running import STREAMS, catalog_of
from integration_tests.soak_reader import Reading, SharedClock, read

FAULTY_SHARE = 0.1
# Where the fork server finds these modules.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["integration_tests.forked_warm", "integration_tests.soak_reader", "integration_tests.close_api"]
)
# Odd values for the fields of an event that say which change it reports.
_ODD: tuple[dict[str, Any], ...] = (
    {"object_type": None},
    {"object_id": ["acti_1"]},
    {"action": 7},
    {"object_type": "spaceship"},
    {"object_id": "acti_never_there", "action": "vanished"},
    {"action": "merged", "meta": None},
    {"data": None, "previous_data": "text", "meta": 7},
)
_ACTIONS = ("odd", "add", "add", "lead", "task", "task done", "activity", "other", "delete", "merge", "moved")
_LATE_SHARE = 0.3
_NO_EVENTS = {"Created", "ImportUpdate"}
_ATTRIBUTION_HOURS = 24
_MOST_KILLS = 3
# About the number of lines that a first read prints.
_LINES = 400
_EARLY_SHARE, _EARLY_SECONDS, _NEVER = 0.3, 1.0, 3_600.0
# Longer than every lag of the API and every difference between the clocks.
_UNTIL_ALL_IS_VISIBLE = 900.0
_DELETED_AT = "_ab_cdc_deleted_at"
_MADE_HERE = {"custom_fields", "object_type", _DELETED_AT}


class LostError(Exception):
    """A run ended with lost or outdated records, or with a read that failed."""


def faults(rng: Random) -> list[Fault]:
    """Return faults of every kind, which together hit a tenth of the requests."""
    broken = {"error": "Internal Server Error"}
    kinds: list[dict[str, Any]] = [
        {"kind": "status", "status": 500, "body": broken},
        {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>"},
        {"kind": "status", "status": 503, "body": None},
        {"kind": "status", "status": 504, "body": broken},
        {"kind": "status", "status": 200, "body": {"message": "no envelope"}},
        {"kind": "rate_limit", "seconds": rng.uniform(0.1, 9.0)},
        {"kind": "reset"},
        {"kind": "close_mid_body"},
        {"kind": "truncate"},
        {"kind": "html"},
        {"kind": "empty"},
        {"kind": "hang", "seconds": 0.05},
        {"kind": "slow", "seconds": 0.05},
        {"kind": "stall"},
    ]
    rng.shuffle(kinds)
    return [Fault(**kind, probability=FAULTY_SHARE / len(kinds)) for kind in kinds]


def settings(rng: Random, clock: SharedClock) -> Settings:
    """Return random settings of the API, all of which the connector must cope with."""
    orders: tuple[ListOrder, ...] = ("newest", "oldest", "id", "inserted")
    made = Settings(now=clock.now)
    made.activity_order = rng.choice(orders)
    made.task_order = rng.choice((*orders, "date_updated"))
    made.user_order = rng.choice(orders)
    made.max_skip |= {"activity": rng.choice((30, 60, 250_000)), "task": rng.choice((30, 60, None))}
    made.rows_by_id = rng.choice((None, 3, 20))
    made.error_wording = rng.choice(("old", "new"))
    made.filter_precision = rng.choice(("millisecond", "second"))
    made.filter_needs_lead = rng.choice(("ignore", "reject"))
    made.custom_field_lists_have_shared = rng.random() < 0.5
    made.meeting_date_created_is_start = rng.random() < 0.7
    made.search_lag = rng.choice((0.0, 5.0, 60.0, 300.0))
    made.search_cursor = rng.choice(("snapshot", "after"))
    made.search_cursor_life = rng.choice((5.0, 30.0))
    made.search_max_rows = rng.choice((60, 200, 10_000))
    made.search_past_max_rows = rng.choice(("null", "reject"))
    lag = rng.choice((0.0, 5.0, 60.0, 200.0))
    made.event_lag = (lambda event: crc32(event["id"].encode()) % 100 / 100 * lag) if rng.random() < 0.5 else lag
    made.event_consolidation = rng.choice((0.0, 60.0))
    made.event_date_filter_with_cursor = rng.choice(("honour", "ignore", "reject"))
    made.event_cursor_keeps_bounds = rng.random() < 0.5
    made.event_unlisted_filters = rng.choice(("works", "ignore", "reject"))
    made.lead_merge_activity_on = rng.choice(("destination", "source"))
    made.rate_limit_header = rng.random() < 0.5
    made.rate_limit_reply_header = rng.random() < 0.5
    made.rate_limit_reply_retry_after = rng.random() < 0.5
    made.rate_limit_reply_body = rng.choice(("old", "plain", "empty"))
    return made


@dataclass
class Changes:
    """Changes the data before some of the requests, and moves the server's clock forward."""

    store: Store
    clock: SharedClock
    rng: Random
    late_changes: bool
    share: float
    enabled: bool = True
    done: list[str] = field(default_factory=list)

    def before_request(self, number: int) -> None:
        """The hook for `Store.on_request`."""
        self.clock.advance(self.rng.choice((0.0, 0.001, 0.01, 0.5, 3.0)))
        if self.enabled and self.rng.random() < self.share:
            with self.store.lock:
                self.change()

    def change(self) -> None:  # noqa: C901 - a case for each kind of change
        """Make one change."""
        rng, store = self.rng, self.store
        leads = sorted(store.leads.visible.records.keys() & store.objects.keys())
        tasks = list(store.collections["task"].records)
        activities = [one.id for one in store.collections["activity"].records.values() if one.kind not in _NO_EVENTS]
        others = [one.id for one in store.objects.values() if one.kind.startswith(("user", "custom_field"))]
        action = rng.choice(_ACTIONS)
        match action:
            case "add":
                self.add()
            case "lead" if leads:
                store.edit(rng.choice(leads), description=f"Edit {rng.random()}")
            case "task" if tasks:
                store.edit(rng.choice(tasks), text=f"Edit {rng.random()}")
            case "task done" if tasks:
                task = rng.choice(tasks)
                store.reopen_task(task) if store.get(task)["is_complete"] else store.complete_task(task)
            case "activity" if activities:
                store.edit(rng.choice(activities), note=f"Edit {rng.random()}")
            case "other" if others:
                store.edit(rng.choice(others), first_name=f"Edit {rng.random()}")
            case "delete" if leads and tasks and activities:
                store.delete(rng.choice((rng.choice(leads), rng.choice(tasks), rng.choice(activities))))
            case "merge" if len(leads) > 1:
                store.merge(*rng.sample(leads, 2))
            case "moved" if self.late_changes:
                self.move_meeting()
            case "odd":
                store.log_event(**rng.choice(_ODD))
            case _:
                return
        self.done.append(action)

    def add(self) -> None:
        """Add an object; some activities get a date in the past."""
        kind = self.rng.choice(("lead", "task", "Note", "Email", "Call", "Meeting", "user", "custom_field.lead"))
        late = self.late_changes and kind in {"Note", "Email"} and self.rng.random() < _LATE_SHARE
        at = to_micros(self.clock.now() - timedelta(days=self.rng.uniform(2, 20)))
        self.store.add(kind, **({"date_created": to_datetime(at - at % 1_000).isoformat()} if late else {}))

    def move_meeting(self) -> None:
        """Reschedule a meeting, which also changes its `date_created`."""
        if meetings := list(self.store.collections["activity/meeting"].records):
            starts_at = self.clock.now() + timedelta(days=self.rng.uniform(-9, 9))
            self.store.reschedule_meeting(self.rng.choice(meetings), starts_at)


@dataclass
class Destination:
    """A destination that keeps one row for each id, and the state that it passes to the next read."""

    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {name: {} for name in STREAMS})
    committed: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in STREAMS})
    states: dict[str, Any] = field(default_factory=dict)

    def take(self, lines: list[bytes]) -> list[dict[str, Any]]:
        """Add the output of a read, complete or cut off; return its messages."""
        messages = [orjson.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}\n")]
        since_state: dict[str, set[str]] = {name: set() for name in STREAMS}
        for message in messages:
            if message["type"] == "RECORD":
                stream, row = message["record"]["stream"], message["record"]["data"]
                before = self.rows[stream].get(row["id"])
                if before is None or stream == "activities" or row["date_updated"] >= before["date_updated"]:
                    self.rows[stream][row["id"]] = row
                since_state[stream].add(row["id"])
            elif message["type"] == "STATE":
                stream = message["state"]["stream"]["stream_descriptor"]["name"]
                self.states[stream] = message["state"]["stream"]
                self.committed[stream] |= since_state[stream]
        return messages

    @property
    def state(self) -> list[dict[str, Any]] | None:
        """Return the content of a state file, or None without a state."""
        return [{"type": "STREAM", "stream": stream} for stream in self.states.values()] or None


@dataclass
class Run:
    """One run of the soak."""

    seed: int
    folder: Path
    log: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        """Sync several times while the data changes, and compare the result with the server.

        Raises:
            LostError: records are lost or outdated, or a read that was not killed failed.
        """
        rng = Random(self.seed)
        self.clock = SharedClock(self.folder / "clock")
        self.capture = rng.random() < 0.7
        self.streams = list(STREAMS) if rng.random() < 0.8 else rng.sample(STREAMS, rng.randint(2, 5))
        volumes = Volumes(
            activities=rng.randint(0, 250),
            leads=rng.randint(5, 60),
            tasks=rng.randint(0, 120),
            events=rng.randint(0, 150),
            users=rng.randint(1, 8),
            custom_fields=rng.randint(0, 3),
        )
        now = self.clock.now()
        switches = settings(rng, self.clock)
        self.start = now - timedelta(days=rng.choice((10, 25, 60)))
        skew = rng.choice((0.0, 0.0, 0.0, -240.0, -20.0, 20.0, 240.0))
        self.reading: dict[str, Any] = {
            "clock": self.folder / "clock",
            "skew": skew,
            "page_sizes": {100: rng.choice((4, 9, 25, 100)), 50: rng.choice((5, 50)), 200: rng.choice((4, 20, 200))},
            "rows_per_chain": switches.search_max_rows,
        }
        self.config = {
            "start_date": self.start.isoformat(),
            "num_workers": rng.choice((1, 3, 8)),
            "attribution_window_hours": _ATTRIBUTION_HOURS,
            "capture_changes": self.capture,
        }
        self.note(capture=self.capture, streams=self.streams, volumes=volumes, settings=switches)
        self.note(**self.config, **self.reading)
        self.destination = Destination()
        with LocalCloseApi(
            volumes, settings=switches, seed=self.seed, start=now - timedelta(days=40), end=now
        ) as self.api:
            self.api.faults.add(*faults(rng))
            share = rng.choice((0.1, 0.5, 1.0))
            changes = Changes(self.api.store, self.clock, Random(self.seed + 1), self.capture, share)
            self.api.store.on_request(changes.before_request)
            for _ in range(rng.randint(1, 3)):
                self.sync(rng)
                self.clock.advance(rng.choice((0.0, 1.0, 60.0, 3_600.0, 90_000.0)))
            changes.enabled = False
            self.clock.advance(_UNTIL_ALL_IS_VISIBLE)
            self.before_last = dict(self.destination.states)
            self.sync(rng)
            self.note(changes=len(changes.done), requests=len(self.api.requests))
            self.verify()

    def note(self, **facts: Any) -> None:
        """Keep facts for the failure report."""
        self.log += [f"{name}: {fact}" for name, fact in facts.items()]

    def sync(self, rng: Random) -> None:
        """Kill or interrupt up to four reads, and then read to the end."""
        kills = rng.choice((0, 0, 1, 1, 2, _MOST_KILLS))
        ends: list[tuple[int | None, float | None]] = [(rng.randint(1, _LINES), None) for _ in range(kills)]
        if rng.random() < _EARLY_SHARE:
            ends.insert(0, (None, rng.uniform(0, _EARLY_SECONDS)))
        for end in [*ends, (None, None)]:
            self.began = self.clock.now()
            lines, killed = self.read(*end)
            messages = self.destination.take(lines)
            if not killed:
                break
        statuses = [one["trace"]["stream_status"] for one in messages if one.get("trace", {}).get("stream_status")]
        ended = {one["stream_descriptor"]["name"]: one["status"] for one in statuses}
        if ended != dict.fromkeys(self.streams, "COMPLETE"):
            errors = [str(one["trace"]["error"]) for one in messages if one.get("trace", {}).get("error")]
            others = [line.decode() for line in lines if not line.startswith(b"{")]
            raise LostError("\n".join([f"A read ended with {ended}", *errors, *others]))

    def read(self, kill_after: int | None, interrupt_after: float | None) -> tuple[list[bytes], bool]:
        """Run one read; return its lines, and whether it was killed (after lines) or interrupted (after seconds)."""
        config = {"api_key": "api_local", "base_url": self.api.url, **self.config}
        reading = Reading(config, catalog_of(self.streams), self.destination.state, **self.reading)
        receiver, sender = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=read, args=(reading, sender))
        process.start()
        sender.close()
        interrupt = threading.Timer(interrupt_after or _NEVER, _interrupt, (process.pid,))
        interrupt.start()
        lines, is_killed = list[bytes](), False
        with os.fdopen(os.dup(receiver.fileno()), "rb") as output:
            receiver.close()
            for line in output:
                lines.append(line)
                if kill_after is not None and len(lines) >= kill_after:
                    process.kill()
                    is_killed = True  # what follows in the output is lost, even if the process had just ended
                    break
        process.join()
        interrupt.cancel()
        now = self.clock.now().isoformat(timespec="milliseconds")
        self.note(read=f"{self.began.isoformat()} to {now}, {len(lines)} lines, exit code {process.exitcode}")
        early = {-signal.SIGTERM, 1} if interrupt_after else set[int]()
        return lines, is_killed or process.exitcode in early

    def verify(self) -> None:
        """Compare the emitted records with those of the server."""
        store = self.api.store
        with store.lock:
            store.advance()
            problems = [problem for name in self.streams for problem in self.problems(name, list(self.records(name)))]
            if self.capture:
                problems += list(self.missed_deletions())
        if problems:
            raise LostError("\n".join(problems[:20]))

    def records(self, stream: str) -> Iterator[Record]:
        """Yield the server's records that belong to the stream and to the range that is read."""
        store = self.api.store
        first = to_micros(self.start)
        match stream:
            case "activities":
                first -= _ATTRIBUTION_HOURS * 3_600_000_000
                found = store.collections["activity"].records.values()
                yield from (one for one in found if first <= one.created < to_micros(self.began - timedelta(minutes=5)))
            case "event_log":
                oldest = max(first, store.events.oldest_kept(store.now()) + 3_600_000_000)
                yield from (one for one in store.events.visible.records.values() if one.updated >= oldest)
            case "leads":
                yield from (one for one in store.leads.visible.records.values() if one.updated >= first)
            case "tasks":
                yield from (one for one in store.collections["task"].records.values() if one.updated >= first)
            case "users":
                yield from store.collections["user"].records.values()
            case _:
                for name, collection in store.collections.items():
                    if name.startswith("custom_field/"):
                        yield from collection.records.values()

    def problems(self, stream: str, records: list[Record]) -> Iterator[str]:
        """Yield a line for each record that is missing or outdated in the destination."""
        rows = self.destination.rows[stream]
        for record in records:
            row = rows.get(record.id)
            if row is None:
                yield f"{stream}: {record.id} is missing: {_stamps(record)}"
            elif row.get(_DELETED_AT):
                yield f"{stream}: {record.id} exists, but was emitted as deleted"
            elif self.must_be_current(stream, record) and (other := differing_fields(record.data(), row)):
                yield f"{stream}: {record.id} has old values of {other}: {_stamps(record)}, emitted {_row_stamps(row)}"

    def must_be_current(self, stream: str, record: Record) -> bool:
        """Return whether the last row of the record must have the current values."""
        if stream != "activities":
            return True
        if record.kind in _NO_EVENTS:
            return False
        if self.capture:
            return True
        saved = self.before_last.get(stream, {}).get("stream_state", {}).get("date_created")
        reread_from = datetime.fromisoformat(saved) - timedelta(hours=_ATTRIBUTION_HOURS) if saved else self.start
        return record.created >= to_micros(reread_from)

    def missed_deletions(self) -> Iterator[str]:
        """Yield a line for each deleted record that the destination still has."""
        for stream in {"activities", "leads", "tasks"} & set(self.streams):
            rows = self.destination.rows[stream]
            for record_id in self.destination.committed[stream]:
                row = rows[record_id]
                is_silent = row.get("_type") in _NO_EVENTS
                if record_id not in self.api.store.objects and not row.get(_DELETED_AT) and not is_silent:
                    yield f"{stream}: {record_id} was deleted, but not emitted as deleted: {_row_stamps(row)}"


def _stamps(record: Record) -> str:
    return f"{record.kind}, {_row_stamps(record.data())}"


def _row_stamps(row: dict[str, Any]) -> str:
    return f"created {row.get('date_created')}, updated {row.get('date_updated')}"


def differing_fields(data: dict[str, Any], row: dict[str, Any]) -> list[str]:
    """Return the names of the fields that differ between a record and its row."""
    found = []
    for name in row.keys() - _MADE_HERE:
        value = row[name]
        if name in {"data", "previous_data"} and isinstance(value, str):
            value = orjson.loads(value)
        if name in data and value != data[name]:
            found.append(name)
    return sorted(found)


def _interrupt(pid: int) -> None:
    with suppress(ProcessLookupError):  # it may have just ended
        os.kill(pid, signal.SIGINT)


def run(seed: int) -> str | None:
    """Do one run; return a report of its failure, or None."""
    with tempfile.TemporaryDirectory() as folder:
        this = Run(seed, Path(folder))
        try:
            this()
        except Exception as error:  # noqa: BLE001 - reported with the seed
            what = str(error) if isinstance(error, LostError) else traceback.format_exc()
            return f"Seed {seed} failed.\n{what}\n" + "\n".join(f"  {fact}" for fact in this.log)
    return None


def soak(seeds: list[int], processes: int) -> list[str]:
    """Run all seeds; return the failure reports. Print the progress on standard error."""
    began, failures = time.monotonic(), []
    with ProcessPoolExecutor(processes, mp_context=_CONTEXT) as pool:
        for number, future in enumerate(as_completed([pool.submit(run, seed) for seed in seeds]), 1):
            if (failure := future.result()) is not None:
                failures.append(failure)
                sys.stderr.write(f"{failure}\n")
            if number % 10 == 0 or number == len(seeds):
                seconds = time.monotonic() - began
                sys.stderr.write(f"{number} of {len(seeds)} runs, {len(failures)} failed, {seconds:.0f} s\n")
    return failures


def main() -> None:
    """Run the soak from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--first", type=int, default=1, help="the first seed; the next runs count up from it")
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else list(range(given.first, given.first + given.runs))
    failures = soak(seeds, given.processes)
    sys.stderr.write(f"{len(seeds) - len(failures)} of {len(seeds)} runs passed.\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
