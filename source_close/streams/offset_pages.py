"""Page through a list by offset: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, cast
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
from source_close.dates import moment_of, parse_moment

_MAX_STEPS_BACK = 25
_MAX_READINGS_WITHOUT_NEW_ROWS = 5
_KEEPS_CHANGING = (
    "the list changed each time that it was read, so records could be missing. Sync again when "
    "fewer changes are made in Close."
)
_REFUSED_PAGE = (
    "GET {path} with _skip {offset} and _limit {size} {refusal}. Please report this message."
)
_NOT_READ = (
    "Stream %s: Close does not return what belongs to %s, which not every plan includes. The rest "
    "is read. If you need it, refresh the stream when Close returns it. %s"
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

    def next_page_token(self, response: requests.Response, *_: Any, **options: Any) -> int | None:
        """Return the next ``_skip``, or None at the end of the list."""
        body = response_json(response)
        last: int = options.get("last_page_token_value") or 0
        return last + _first_of_next_page(body["data"]) if body.get("has_more") else None


# The index of the row with which the next page begins. Rows of one moment may change places between
# two requests, so it is the row before those of the page's last moment. If reading would not get on
# from there, it is the last row.
def _first_of_next_page(rows: Sequence[Row]) -> int:
    last = len(rows) - 1
    first = _first_of_moment(rows, last)
    return first - 1 if first > 1 else max(last, 1)


# The index of the first of the rows up to ``index`` with its ``date_created``, if it has one.
def _first_of_moment(rows: Sequence[Row], index: int) -> int:
    moment = rows[index].get("date_created") if rows else None
    while moment and index > 0 and rows[index - 1].get("date_created") == moment:
        index -= 1
    return index


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
        different rows than the list has positions.

        Args:
            seen: the rows that were read already, in the list's order; reading continues there.
            stream_slice: for the templates of the requester.

        Raises:
            OffsetsExhaustedError: if the list can't be read further.
            CloseApiError: if Close refuses even a small page.
        """
        offset = max(len(seen) - 1, 0)
        readings_without_new_rows = 0
        while True:
            known = len(seen)
            shown_ids = set(islice(seen, offset))
            positions = yield from self._read_from(offset, seen, shown_ids, stream_slice)
            if len(shown_ids) >= positions:
                return
            readings_without_new_rows = 0 if len(seen) > known else readings_without_new_rows + 1
            if readings_without_new_rows == _MAX_READINGS_WITHOUT_NEW_ROWS:
                if len(seen) < positions:
                    raise OffsetsExhaustedError(self.name, _KEEPS_CHANGING)
                return
            offset = 0

    # Reads once from ``offset`` to the end of the list, and returns how many positions it has.
    # ``seen`` gets the rows of all readings, and ``shown_ids`` the ids of this one. If a page does
    # not begin with a row of the one before, rows were removed or edited meanwhile. Then it steps
    # back until a page begins with a known row, which needs most rows to keep their order.
    def _read_from(
        self,
        offset: int,
        seen: dict[str, datetime | None],
        shown_ids: set[str],
        stream_slice: StreamSlice,
    ) -> Generator[tuple[list[Row], bool], None, int]:
        expected_ids = {next(reversed(seen), None)}
        steps_back = 0
        while True:
            response = self._request(offset, stream_slice)
            rows = response_json(response)["data"]
            # After a step back any known row will do, since an edit may have moved the last one.
            acceptable_ids = seen if steps_back else expected_ids
            overlaps = bool(rows) and rows[0]["id"] in acceptable_ids
            if offset and not overlaps:
                steps_back += 1
                offset = self._step_back(offset, steps_back)
                continue
            shown_ids.update(row["id"] for row in rows)
            token = self.paginator.next_page_token(response, len(rows), None, offset)
            new_rows = self._add_to(seen, rows)
            if new_rows:
                yield new_rows, token is not None
                # A page at offset 0 needs no overlap, so it does not show that the order is kept.
                steps_back = 0 if offset else steps_back
            if token is None:
                # A single page is complete, even if it has a row twice.
                return offset + len(rows) if offset else len(shown_ids)
            first = min(token["next_page_token"] - offset, len(rows) - 1)
            expected_ids = {row["id"] for row in rows[_first_of_moment(rows, first) : first + 1]}
            offset = token["next_page_token"]

    # Adds rows to ``seen``, and returns those that were not in it.
    def _add_to(self, seen: dict[str, datetime | None], rows: list[Row]) -> list[Row]:
        new_rows = {row["id"]: row for row in rows if row["id"] not in seen}
        seen |= {row["id"]: moment_of(row, self.cursor_field) for row in new_rows.values()}
        return list(new_rows.values())

    def _step_back(self, offset: int, steps_back: int) -> int:
        if steps_back > _MAX_STEPS_BACK:
            raise OffsetsExhaustedError(self.name, _KEEPS_CHANGING)
        step: int = self._page_size * 2 ** (steps_back - 1)
        return max(offset - step, 0)

    # The response with the rows from ``offset`` on.
    def _request(self, offset: int, stream_slice: StreamSlice) -> requests.Response:
        page_size = self._page_size
        paging: Mapping[str, Any] = {}
        if offset or stream_slice.partition not in self.unpaged_partitions:
            paging = self.paginator.get_request_params(
                next_page_token={"next_page_token": offset}, page_size_override=page_size
            )
        response = self.requester.send_request(stream_slice=stream_slice, request_params=paging)
        response = cast("requests.Response", response)  # it is None only after the action IGNORE
        if response.ok:
            return response
        self._use_smaller_pages(response, offset, page_size)
        return self._request(offset, stream_slice)

    # After a refusal. It raises if a smaller page would not help.
    def _use_smaller_pages(self, response: requests.Response, offset: int, page_size: int) -> None:
        is_size_refused = not offset or "limit" in response.text.lower()
        if is_size_refused and page_size > self.smaller_page_size:
            LOGGER.info(_SMALLER_PAGES, self.name, page_size, self.smaller_page_size)
            self._page_size = self.smaller_page_size
            return
        path = urlsplit(response.url).path
        refusal = describe(response)
        text = _REFUSED_PAGE.format(path=path, offset=offset, size=page_size, refusal=refusal)
        if offset:
            raise OffsetsExhaustedError(self.name, text)
        # A smaller window would not help.
        raise CloseApiError(self.name, text, FailureType.system_error)


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
        moments = dict[str, datetime | None]()
        try:
            for page, _ in self.pages.read(moments, stream_slice):
                rows = [row for row in page if _is_wanted(moments[row["id"]], stream_slice)]
                yield from self.record_selector.filter_and_transform(
                    rows, {}, records_schema, stream_slice
                )
        except CloseApiError as error:
            partition = stream_slice.partition
            if error.status not in NOT_OFFERED or partition not in self.optional_partitions:
                raise
            LOGGER.warning(_NOT_READ, self.name, ", ".join(partition.values()), error.text)


def _is_wanted(moment: datetime | None, stream_slice: StreamSlice) -> bool:
    if moment is None or "start_time" not in stream_slice:
        return True
    return parse_moment(stream_slice["start_time"]) <= moment
