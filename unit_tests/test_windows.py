"""Moments and windows of time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from source_close.windows import (
    Window,
    floor_to_millisecond,
    floor_to_second,
    format_moment,
    gaps,
    moment_of,
    parse_moment,
    subtract,
    utc_now,
)


def at(hour: int) -> datetime:
    return datetime(2024, 5, 6, hour, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2013-02-20T05:28:25.198000+00:00", "2013-02-20T05:28:25.198000+00:00"),
        ("2022-11-12T18:00:00+00:00", "2022-11-12T18:00:00.000000+00:00"),
        ("2016-10-19T12:22:10.434000", "2016-10-19T12:22:10.434000+00:00"),
        ("2016-10-19T12:22:10", "2016-10-19T12:22:10.000000+00:00"),
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09.000000+00:00"),
        ("2024-05-06T07:08:09.010z", "2024-05-06T07:08:09.010000+00:00"),
        ("2024-05-06T07:08:09+02:00", "2024-05-06T05:08:09.000000+00:00"),
        ("2024-05-06", "2024-05-06T00:00:00.000000+00:00"),
    ],
)
def test_every_form_of_a_moment_is_read_and_written_as_close_does(text: str, written: str) -> None:
    assert format_moment(parse_moment(text)) == written
    assert parse_moment(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "soon", "2024-13-01", "2024-05-06T25:00:00", "0001-01-01T00:00:00+05:00"])
def test_what_is_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the standard library's
        parse_moment(text)


@pytest.mark.parametrize("value", [None, "", "soon", 5, {}, ["2024-05-06"], "0001-01-01T00:00:00+05:00"], ids=str)
def test_a_row_without_a_readable_stamp_has_no_moment(value: Any) -> None:
    assert moment_of({"date_updated": value}, "date_updated") is None
    assert moment_of({}, "date_updated") is None


def test_the_moment_of_a_row() -> None:
    row = {"date_created": "2024-05-06T07:00:00", "date_updated": "2024-05-06T08:00:00+00:00"}
    assert moment_of(row, "date_created") == at(7)
    assert moment_of(row, "date_updated") == at(8)


def test_now_is_cut_to_milliseconds_in_utc() -> None:
    with time_machine.travel(datetime(2024, 5, 6, 7, 8, 9, 123_987, tzinfo=timezone.utc), tick=False):
        assert format_moment(utc_now()) == "2024-05-06T07:08:09.123000+00:00"


def test_flooring() -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, 999_999, tzinfo=timezone.utc)
    assert format_moment(floor_to_millisecond(moment)) == "2024-05-06T07:08:09.999000+00:00"
    assert format_moment(floor_to_second(moment)) == "2024-05-06T07:08:09.000000+00:00"


@pytest.mark.parametrize(
    ("moment", "contained"),
    [
        (at(8) - timedelta(milliseconds=1), False),
        (at(8), True),
        (at(10) - timedelta(milliseconds=1), True),
        (at(10), False),
    ],
    ids=["a millisecond before", "on the start", "the last millisecond", "on the end"],
)
def test_a_window_holds_its_start_and_not_its_end(moment: datetime, contained: bool) -> None:
    assert Window(at(8), at(10)).contains(moment) is contained


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], [(8, 16)]),
        ([(10, 12)], [(8, 10), (12, 16)]),
        ([(12, 14), (9, 10)], [(8, 9), (10, 12), (14, 16)]),
        ([(6, 10)], [(10, 16)]),
        ([(14, 20)], [(8, 14)]),
        ([(6, 20)], []),
        ([(8, 16)], []),
        ([(2, 8), (16, 20)], [(8, 16)]),
        ([(9, 12), (10, 11), (11, 13)], [(8, 9), (13, 16)]),
        ([(9, 10), (10, 11)], [(8, 9), (11, 16)]),
    ],
    ids=[
        "nothing",
        "the middle",
        "two, in any order",
        "over the start",
        "over the end",
        "more than everything",
        "everything",
        "beside it",
        "overlapping ones",
        "touching ones",
    ],
)
def test_subtracting_intervals_from_a_window(taken: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    window = Window(at(8), at(16), {"object_type": "lead"})
    assert subtract(window, [(at(a), at(b)) for a, b in taken]) == [
        Window(at(a), at(b), {"object_type": "lead"}) for a, b in left
    ]


def test_gaps_are_what_no_window_covers() -> None:
    windows = [Window(at(12), at(13)), Window(at(8), at(10))]
    assert gaps(at(7), at(16), windows) == [(at(7), at(8)), (at(10), at(12)), (at(13), at(16))]
    assert gaps(at(8), at(10), windows) == []
    assert gaps(at(7), at(16), []) == [(at(7), at(16))]
