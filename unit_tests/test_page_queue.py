"""The queue between readers and printer: pages go in, records come out, in order."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, Full
from threading import Thread

import pytest
from airbyte_cdk.sources.types import Record, StreamSlice

from source_close.page_queue import PageQueue, PrinterGoneError, RecordPage

SLICE = StreamSlice(partition={}, cursor_slice={"start": "2024-01-01", "end": "2024-01-02"})


def page(*ids: str, stream: str = "leads") -> RecordPage:
    return RecordPage([{"id": one} for one in ids], stream, SLICE)


def taken(queue: PageQueue) -> list[str]:
    """What comes out until nothing is left: a record's id, anything else as it is."""
    items = []
    while not queue.empty():
        item = queue.get()
        items.append(item["id"] if isinstance(item, Record) else item)
    return items


def test_records_come_one_by_one_and_everything_else_keeps_its_place() -> None:
    queue = PageQueue()
    for item in ("before", page("lead_1", "lead_2"), "between", page("lead_3"), "after"):
        queue.put(item)
    assert taken(queue) == ["before", "lead_1", "lead_2", "between", "lead_3", "after"]


def test_a_record_knows_its_stream_and_slice() -> None:
    queue = PageQueue()
    queue.put(page("user_1", stream="users"))
    queue.put(page("lead_1"))
    first, second = queue.get(), queue.get()
    assert isinstance(first, Record)
    assert (first.stream_name, first.associated_slice, first.data) == ("users", SLICE, {"id": "user_1"})
    assert second.stream_name == "leads"


def test_a_page_without_records_is_passed_over() -> None:
    queue = PageQueue()
    for item in (page(), page("lead_1"), page(), "after"):
        queue.put(item)
    assert [queue.get()["id"], queue.get()] == ["lead_1", "after"]
    assert queue.empty()
    with pytest.raises(Empty):
        queue.get(block=False)


def test_it_is_empty_only_after_the_last_record_of_a_page() -> None:
    """The CDK ends a read when the queue is empty and every partition is complete."""
    queue = PageQueue()
    queue.put(page("lead_1", "lead_2"))
    queue.get()
    assert not queue.empty()
    queue.get()
    assert queue.empty()


def test_its_size_counts_pages() -> None:
    queue = PageQueue(2)
    queue.put(page(*(f"lead_{number}" for number in range(100))))
    queue.put(page("lead_100"))
    assert queue.qsize() == 2
    with pytest.raises(Full):
        queue.put(page("lead_101"), block=False)
    queue.get()
    queue.put(page("lead_101"), block=False)
    assert taken(queue)[-3:] == ["lead_99", "lead_100", "lead_101"]


def test_closed_it_lets_go_all_who_wait_for_room_and_refuses_more() -> None:
    queue = PageQueue(1)
    queue.put(page("lead_1"))

    def put() -> None:
        with suppress(PrinterGoneError):  # where the thread comes late
            queue.put(page("lead_2"))

    waiting = [Thread(target=put, daemon=True) for _ in range(4)]
    for thread in waiting:
        thread.start()
    queue.close()
    for thread in waiting:
        thread.join(10)
    assert not any(thread.is_alive() for thread in waiting)
    with pytest.raises(PrinterGoneError):
        queue.put(page("lead_3"))
