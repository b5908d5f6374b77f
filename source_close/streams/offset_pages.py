"""Page through a list by offset: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from airbyte_cdk import (
    DefaultPaginator,
    FailureType,
    HttpRequester,
    OffsetIncrement,
    Record,
    RecordSelector,
    StreamSlice,
)
from airbyte_cdk.sources.declarative.retrievers import Retriever

from source_close.api.errors import LOGGER, NOT_OFFERED, CloseApiError, describe
from source_close.api.responses import Row, response_json
from source_close.dates import EARLIEST, moment_of

_MAX_STEPS_BACK = 25
_MAX_READINGS_WITHOUT_NEW_ROWS = 5
_DATES = ("date_created", "date_updated")
_KEEPS_CHANGING = (
    "the list changed each time that it was read, so records could be missing. Sync again when "
    "fewer changes are made in Close."
)
_REFUSED_PAGE = (
    "GET {path} with _skip {offset} and _limit {size} {refusal}. Please report this message."
)
_NOT_READ = (
    "Stream %s: Close does not return what belongs to %s, which not every plan includes. The rest "
    "is read. If you need what is missing, refresh the stream when Close returns it. %s"
)
_SMALLER_PAGES = "Stream %s: Close refuses pages of %s records. The connector reads pages of %s."


class OffsetsExhaustedError(CloseApiError):
    """The rest of a list can't be read by offset; the text says why.

    Close refuses so large a ``_skip``, or the order of the list keeps changing.
    """


class OffsetPaginationStrategy(OffsetIncrement):
    """Reads until ``has_more`` is false, in pages that begin with a row of the one before.

    ``OffsetIncrement`` stops at a page that is shorter than the page size, and its pages have no
    row in common, which would show that rows have moved meanwhile.
    """

    def next_page_token(
        self,
        response: requests.Response,
        *_: Any,
        last_page_token_value: int | None = None,
        **__: Any,
    ) -> int | None:
        """Return the next ``_skip``, or None at the end of the list."""
        body = response_json(response)
        offset = last_page_token_value or 0
        return offset + _first_of_next_page(body["data"]) if body.get("has_more") else None


# The index of the row with which the next page begins. Rows of one moment may change places between
# two requests, so it is the row before those of the page's last moment. If reading would not get on
# from there, it is the last row.
def _first_of_next_page(rows: Sequence[Row]) -> int:
    first_of_last_moment = len(rows) - len(_rows_of_last_moment(rows))
    return first_of_last_moment - 1 if first_of_last_moment > 1 else max(len(rows) - 1, 1)


# The rows at the end that have a date in common with the last row, which is one of them.
def _rows_of_last_moment(rows: Sequence[Row]) -> Sequence[Row]:
    return list(takewhile(lambda row: _may_change_places(row, rows[-1]), reversed(rows)))


# Whether rows may have no fixed order. Close does not document by which date it sorts a list.
def _may_change_places(row: Row, other: Row) -> bool:
    have_same_date = [name in row and row[name] == other.get(name) for name in _DATES]
    return row is other or any(have_same_date)


class _Page(NamedTuple):
    offset: int
    rows: list[Row]
    next_offset: int | None  # None at the end of the list

    @property
    def end(self) -> int:  # the position after its last row; of the last page, the list's length
        return self.offset + len(self.rows)

    # Whether a page that begins within rows of one moment shows one of them again, which hides
    # another. The number of rows in the list does not tell if a row that was shown is removed
    # since.
    def hides_a_row(self, shown_ids: Collection[str], furthest_end: int) -> bool:
        begins_within_a_moment = len(_rows_of_last_moment(self.rows[:2])) > 1
        if not begins_within_a_moment:
            return False
        new_ids = {row["id"] for row in self.rows}.difference(shown_ids)
        return len(new_ids) < self.end - furthest_end


@dataclass
class OffsetPages:
    """Reads a list in pages that overlap, so that no row is lost while the list changes.

    ``SimpleRetriever`` with ``OffsetIncrement`` loses a row for each row that is removed from an
    earlier page, and its ``page_size_reduction`` is refused anew in each window.

    Attributes:
        smaller_page_size: for all pages after Close has refused a larger one.
        unpaged_partitions: those whose list Close returns whole, with no parameter for pages.
    """

    name: str
    requester: HttpRequester
    paginator: DefaultPaginator
    smaller_page_size: int
    cursor_field: str = ""
    unpaged_partitions: Sequence[Mapping[str, str]] = ()

    def __post_init__(self) -> None:
        # Threads share it, and may replace it by the smaller one.
        self._page_size = self.paginator.get_page_size() or 1

    def read(
        self, seen: dict[str, datetime | None], stream_slice: StreamSlice
    ) -> Iterator[tuple[list[Row], bool]]:
        """Yield the new rows of each page, and whether another page follows.

        Their ids and cursors are added to ``seen``.

        Rows that Close sorts alike may change places between two requests, and new ones may be
        inserted. So a list of several pages is read again if the last reading has shown fewer
        different rows than the list has positions, or if a page inside rows of one moment shows one
        of them again.

        Args:
            seen: the rows that were read already, in the list's order. The last page of these is
                read again, as they may have changed places with rows that were not read.
            stream_slice: for the templates of the requester.

        Raises:
            OffsetsExhaustedError: if the list can't be read further.
            CloseApiError: if Close refuses even a small page.
        """
        offset = max(len(seen) - self._page_size, 0)
        readings_without_new_rows = 0
        while readings_without_new_rows < _MAX_READINGS_WITHOUT_NEW_ROWS:
            known = len(seen)
            shown_ids = set(list(seen)[:offset])
            furthest_end = offset
            is_row_hidden = False
            for page, new_rows in self._overlapping_pages(offset, seen, stream_slice):
                is_row_hidden = is_row_hidden or page.hides_a_row(shown_ids, furthest_end)
                shown_ids.update(row["id"] for row in page.rows)
                furthest_end = max(furthest_end, page.end)
                if new_rows:
                    yield new_rows, page.next_offset is not None
            # A single page is complete, even if it has a row twice.
            is_complete = len(shown_ids) >= page.end and not is_row_hidden
            if page.offset == 0 or is_complete:
                return
            readings_without_new_rows = 0 if len(seen) > known else readings_without_new_rows + 1
            offset = 0
        # All readings together may have shown as many rows as the list has positions.
        if len(seen) < page.end:
            raise OffsetsExhaustedError(self.name, _KEEPS_CHANGING)

    # Reads once from ``offset`` to the end of the list. With each page come its new rows, which are
    # added to ``seen``. If a page does not begin with the expected row, rows were removed or edited
    # meanwhile. Then it steps back until a page begins with a known row, which needs most rows to
    # keep their order.
    def _overlapping_pages(
        self, offset: int, seen: dict[str, datetime | None], stream_slice: StreamSlice
    ) -> Iterator[tuple[_Page, list[Row]]]:
        expected_ids: Container[str] = list(seen)[offset : offset + 1]
        steps_back = 0
        while steps_back <= _MAX_STEPS_BACK:
            page = self._page(offset, stream_slice)
            begins_as_expected = bool(page.rows) and page.rows[0]["id"] in expected_ids
            if offset and not begins_as_expected:
                offset = max(offset - self._page_size * 2**steps_back, 0)
                steps_back += 1
                # Any known row will do, since an edit may have moved the expected one.
                expected_ids = seen
                continue
            new_rows = self._add_to(seen, page.rows)
            yield page, new_rows
            if page.next_offset is None:
                return
            # A page at offset 0 needs no overlap, so it does not show that the order is kept.
            if offset and new_rows:
                steps_back = 0
            if not steps_back:
                # Rows of one moment may change places, so each of them is expected.
                rows = page.rows[: page.next_offset - offset + 1]
                expected_ids = {row["id"] for row in _rows_of_last_moment(rows)}
            offset = page.next_offset
        raise OffsetsExhaustedError(self.name, _KEEPS_CHANGING)

    # Adds rows to ``seen``, and returns those that were not in it.
    def _add_to(self, seen: dict[str, datetime | None], rows: list[Row]) -> list[Row]:
        new_rows = {row["id"]: row for row in rows if row["id"] not in seen}
        seen |= {row["id"]: moment_of(row, self.cursor_field) for row in new_rows.values()}
        return list(new_rows.values())

    # The page at ``offset``. If Close refuses its size, all pages are smaller from here on.
    def _page(self, offset: int, stream_slice: StreamSlice) -> _Page:
        page_size = self._page_size
        # The CDK's type includes None, which only the action IGNORE returns. No filter has it.
        response: Any = self.requester.send_request(
            stream_slice=stream_slice, request_params=self._paging(offset, page_size, stream_slice)
        )
        if response.ok:
            rows = response_json(response)["data"]
            token = self.paginator.next_page_token(response, len(rows), None, offset)
            return _Page(offset, rows, token["next_page_token"] if token else None)
        # At offset 0, only the size can be what Close refuses.
        is_size_refused = offset == 0 or b"limit" in response.content.lower()
        if not is_size_refused or page_size <= self.smaller_page_size:
            raise self._refusal(response, offset, page_size)
        LOGGER.info(_SMALLER_PAGES, self.name, page_size, self.smaller_page_size)
        self._page_size = self.smaller_page_size
        return self._page(offset, stream_slice)

    def _paging(self, offset: int, page_size: int, stream_slice: StreamSlice) -> Mapping[str, Any]:
        if offset == 0 and stream_slice.partition in self.unpaged_partitions:
            return {}
        return self.paginator.get_request_params(
            next_page_token={"next_page_token": offset}, page_size_override=page_size
        )

    def _refusal(self, response: requests.Response, offset: int, page_size: int) -> CloseApiError:
        text = _REFUSED_PAGE.format(
            path=urlsplit(response.url).path,
            offset=offset,
            size=page_size,
            refusal=describe(response),
        )
        if offset:
            return OffsetsExhaustedError(self.name, text)
        # A smaller window would not help.
        return CloseApiError(self.name, text, FailureType.system_error)


@dataclass
class WholeListRetriever(Retriever):
    """Reads a list that has no date filter, each row once: users and custom fields.

    ``SimpleRetriever``, the built-in, can't read pages that overlap: ``OffsetPages`` says why. So
    this also does what ``is_client_side_incremental`` does there.

    Attributes:
        optional_partitions: those that are only in some plans of Close. Without them, the others
            are read.
    """

    name: str
    pages: OffsetPages
    record_selector: RecordSelector
    optional_partitions: Sequence[Mapping[str, str]] = ()

    def read_records(self, records_schema: Any, stream_slice: Any = None) -> Iterable[Record]:
        """Yield the records of a slice whose cursor is at its start or later, or missing.

        Raises:
            CloseApiError: if the list keeps changing, or Close refuses to return it.
        """
        start = moment_of(stream_slice, "start_time") or EARLIEST
        moments = dict[str, datetime | None]()
        try:
            for page, _ in self.pages.read(moments, stream_slice):
                # A row without a date counts as one of the start.
                rows = [row for row in page if (moments[row["id"]] or start) >= start]
                yield from self.record_selector.filter_and_transform(
                    rows, {}, records_schema, stream_slice
                )
        except CloseApiError as error:
            partition = stream_slice.partition
            if error.status not in NOT_OFFERED or partition not in self.optional_partitions:
                raise
            LOGGER.warning(_NOT_READ, self.name, ", ".join(partition.values()), error.text)
