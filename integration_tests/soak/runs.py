"""One run of the soak: several reads, killed and continued, and the comparison of their records with the server."""

import signal
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import orjson

from integration_tests.close_api import LocalCloseApi, Settings, Volumes
from integration_tests.close_api.records import Record
from integration_tests.close_api.times import HOUR, to_micros
from integration_tests.harness.destination import Destination
from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.running import STREAMS, Result
from integration_tests.harness.truth import records
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING
from integration_tests.soak.clock import SharedClock
from integration_tests.soak.reader import FASTER, follow
from integration_tests.soak.world import Changes, faults, settings, without_events

_MOST_KILLS = 3
# About the number of lines that a first read prints.
_LINES = 400
_EARLY_SHARE = 0.3
_EARLY_SECONDS = 1.0
# Longer than every lag of the API and every difference between the clocks.
_UNTIL_ALL_IS_VISIBLE = 900.0
# The custom values of leads by the names of their fields, which the connector emits by id only.
_BY_NAME = {"custom"}
_JSON_TEXT = {"data", "previous_data"}
_PARTIAL_SHARE = 0.7
_REFRESH_SHARE = 0.3
_SMALL_PAGE_SHARE = 0.7  # of the runs in which Close refuses large pages of leads, of tasks, and of users


class LostError(Exception):
    """A run ended with lost or outdated records, or with a read that failed."""


@dataclass
class Run:
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
        if not self.capture:
            switches.merge_moves_date_updated = True  # otherwise only the log shows which tasks a merge moved
        self.configure(rng, now, switches)
        self.note(capture=self.capture, streams=self.streams, volumes=volumes, settings=switches)
        self.note(**self.config, skew=self.skew, sizes=self.sizes)
        self.destination = Destination()
        oldest = now - timedelta(days=40)
        with LocalCloseApi(volumes, settings=switches, seed=self.seed, start=oldest, end=now) as self.api:
            self.api.faults.add(*faults(rng))
            share = rng.choice((0.1, 0.5, 1.0))
            changes = Changes(self.api.store, self.clock, Random(self.seed + 1), self.capture, share)
            self.api.store.on_request(changes.before_request)
            self.sync_some_times(rng)
            changes.enabled = False
            self.clock.advance(_UNTIL_ALL_IS_VISIBLE)
            self.before_last = dict(self.destination.states)
            self.sync(rng, self.streams)
            self.note(changes=len(changes.done), requests=len(self.api.requests))
            self.verify()

    def configure(self, rng: Random, now: datetime, switches: Settings) -> None:
        """Choose the config, the clock's error, and page sizes, of which the API may refuse the large ones."""
        self.start = now - timedelta(days=rng.choice((10, 25, 60)))
        self.attribution = timedelta(hours=rng.choice((0, 24, 24)))
        self.skew = rng.choice((0.0, 0.0, 0.0, -240.0, -20.0, 20.0, 240.0))
        pages = rng.choice((4, 9, 25, 100))
        self.sizes = {
            "page_size": {100: pages, 50: rng.choice((5, 50)), 200: rng.choice((4, 20, 200))},
            "smaller_page_size": {100: pages},
            "ids_per_request": {100: pages, 200: 2 * pages},
            "rows_per_chain": {10_000: switches.search_max_rows},
            "rows_per_window": {20_000: 3 * pages},
        }
        self.config = {
            "start_date": self.start.isoformat(),
            "num_workers": rng.choice((1, 3, 8)),
            "attribution_window_hours": self.attribution // timedelta(hours=1),
            "capture_changes": self.capture,
        }
        for resource in ("lead", "task", "user"):
            if rng.random() < _SMALL_PAGE_SHARE:
                switches.max_limit[resource] = pages

    def sync_some_times(self, rng: Random) -> None:
        """Sync up to six times, with up to five days in between."""
        for number in range(rng.choice((1, 2, 3, 6))):
            streams = self.streams
            # Some syncs read a part of the streams, whose positions in the log then differ.
            if number % 2 and rng.random() < _PARTIAL_SHARE:
                streams = rng.sample(self.streams, 2)
            self.sync(rng, streams)
            self.clock.advance(rng.choice((0.0, 1.0, 60.0, 3_600.0, 90_000.0, 400_000.0)))
            if rng.random() < _REFRESH_SHARE:
                self.refresh(rng.choice([stream for stream in self.streams if stream != "event_log"]))

    def refresh(self, stream: str) -> None:
        """Read a stream in full refresh while the data changes. It must have what exists before and after."""
        self.clock.advance(_UNTIL_ALL_IS_VISIBLE)
        self.began = self.clock.now()
        before = self.existing(stream)
        result, _ = self.read([stream], sync_mode="full_refresh")
        lost = before & self.existing(stream) - set(result.ids(stream))
        if lost or result.exit_code:
            raise LostError(f"A full refresh of {stream} lacks {lost}\n{result.errors}\n{result.output[-2_000:]}")

    def existing(self, stream: str) -> set[str]:
        """Return the ids of the server's records, without those of meetings, which may move to another window."""
        with self.api.store.lock:
            self.api.store.advance()
            return {record.id for record in self.records(stream) if record.kind != "Meeting"}

    def note(self, **facts: Any) -> None:
        """Keep facts for the failure report."""
        self.log += [f"{name}: {fact}" for name, fact in facts.items()]

    def sync(self, rng: Random, streams: list[str]) -> None:
        """Kill or interrupt up to four reads of these streams, and then read them to the end."""
        kills = rng.choice((0, 0, 1, 1, 2, _MOST_KILLS))
        ends: list[dict[str, Any]] = [{"kill_after": rng.randint(1, _LINES)} for _ in range(kills)]
        if rng.random() < _EARLY_SHARE:
            ends.insert(0, {"interrupt_after": rng.uniform(0, _EARLY_SECONDS)})
        for end in [*ends, {}]:
            self.began = self.clock.now()
            result, killed = self.read(streams, **end)
            self.destination.take(result.messages)
            if not killed:
                break
        ended = {stream: result.status(stream) for stream in streams}
        if ended != dict.fromkeys(streams, "COMPLETE"):
            raise LostError(f"A read ended with {ended}\n{result.errors}\n{result.output[-2_000:]}")

    def read(self, streams: list[str], **options: Any) -> tuple[Result, bool]:
        """Run one read with these options of the connector; return its result, and whether it was ended early."""
        connector = ForkedConnector(
            {"api_key": "api_local", "base_url": self.api.url, **self.config},
            self.folder,
            faster=FASTER,
            sizes=self.sizes,
            adapt=partial(follow, self.folder / "clock", self.skew),
            **options,
        )
        result = connector.read(streams, self.destination.state)
        lines = result.output.count("\n")
        now = self.clock.now().isoformat(timespec="milliseconds")
        self.note(read=f"{self.began.isoformat()} to {now}, {lines} lines, exit code {result.exit_code}")
        # What follows in the output of a killed process is lost, even if it had just ended.
        is_killed = lines >= options.get("kill_after", inf)
        early = {-signal.SIGTERM, 1} if "interrupt_after" in options else set[int]()
        return result, is_killed or result.exit_code in early

    def verify(self) -> None:
        """Compare the emitted records with those of the server."""
        store = self.api.store
        with store.lock:
            store.advance()
            problems: list[str] = []
            for stream in self.streams:
                problems += self.problems(stream)
            if self.capture:
                problems += self.missed_deletions()
        if problems:
            raise LostError("\n".join(problems[:20]))

    def records(self, stream: str) -> list[Record]:
        """Return the server's records that belong to the stream and to the range that is read."""
        found = records(self.api, stream)
        first = to_micros(self.start)
        if stream == "activities":
            first = to_micros(self.start - self.attribution)
            last = to_micros(self.began - timedelta(minutes=5))
            return [one for one in found if first <= one.created < last]
        if stream == "event_log":
            store = self.api.store
            first = max(first, store.events.oldest_kept(store.now()) + HOUR)
        if stream in {"event_log", "leads", "tasks"}:
            return [one for one in found if one.updated >= first]
        return found

    def problems(self, stream: str) -> Iterator[str]:
        """Yield a line for each record that is missing or outdated in the destination."""
        rows = self.destination.rows[stream]
        for record in self.records(stream):
            row = rows.get(record.id)
            if row is None:
                yield f"{stream}: {record.id} is missing: {_stamps(record)}"
            elif row.get(DELETED_AT):
                yield f"{stream}: {record.id} exists, but was emitted as deleted"
            elif self.must_be_current(stream, record):
                old = self.differing_fields(record.data(), row)
                if old:
                    emitted = _row_stamps(row)
                    yield f"{stream}: {record.id} has old values of {old}: {_stamps(record)}, emitted {emitted}"

    def must_be_current(self, stream: str, record: Record) -> bool:
        """Return whether the last row of the record must have the current values."""
        if stream != "activities":
            return True
        if record.kind in without_events(self.api.settings):
            return False
        if self.capture:
            return True
        saved = self.before_last.get(stream, {}).get("stream_state", {}).get("date_created")
        reread_from = datetime.fromisoformat(saved) - self.attribution if saved else self.start
        return record.created >= to_micros(reread_from)

    def differing_fields(self, data: dict[str, Any], row: dict[str, Any]) -> list[str]:
        """Return the names of the fields that differ between a record and its row, which leaves out nulls."""
        found = []
        for name in data.keys() - _BY_NAME:
            value = row.get(name)
            if name in _JSON_TEXT and value is None and not self.api.settings.admin:
                continue
            if name in _JSON_TEXT and isinstance(value, str):
                value = orjson.loads(value)
            if value != data[name]:
                found.append(name)
        return sorted(found)

    def missed_deletions(self) -> Iterator[str]:
        """Yield a line for each deleted record that the destination still has."""
        for stream in set(FOLLOWING) & set(self.streams):
            rows = self.destination.rows[stream]
            for record_id in self.destination.committed[stream]:
                row = rows[record_id]
                is_silent = row.get("_type") in without_events(self.api.settings)
                if record_id not in self.api.store.objects and not row.get(DELETED_AT) and not is_silent:
                    yield f"{stream}: {record_id} was deleted, but not emitted as deleted: {_row_stamps(row)}"


def _stamps(record: Record) -> str:
    return f"{record.kind}, {_row_stamps(record.data())}"


def _row_stamps(row: dict[str, Any]) -> str:
    return f"created {row.get('date_created')}, updated {row.get('date_updated')}"


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
