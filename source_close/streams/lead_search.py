"""Read leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airbyte_cdk import AirbyteTracedException, DefaultPaginator, HttpRequester, StreamSlice
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from source_close.api.errors import LOGGER, CloseApiError
from source_close.api.responses import Row, response_json
from source_close.dates import LATENESS, MILLISECOND, SECOND, format_moment, moment_of, utc_now
from source_close.streams.custom_fields import CUSTOM, PREFIX, custom_values_of, kinds_of, lists_of
from source_close.streams.records import RecordsByIds, parts_of
from source_close.streams.windows import WindowRetriever

_MAX_ATTEMPTS = 5
_PAGES_TO_COMPARE = 3  # a column may have values in few leads only
_SEARCH_IS_INCOMPLETE = (
    "Stream %s: Close's search does not return leads as a read by their ids does. It lacks %s, or "
    "has it in another form. Leads are read by their ids, which takes longer."
)
_STUCK = (
    "Close's search does not get past the moment {moment}: {rows} or more records have it as "
    "date_updated, the records are not sorted by it, or each search ends early. The stream stops "
    "here, so that none is skipped. Ask Close's support for help."
)


@dataclass
class SearchedLeads:
    """Completes the leads of a search, if the search does not return all of them.

    Close does not document which columns a search returns, nor the form of its custom values. So
    the first pages are also read by ids, and further ones until each kind of custom field was in a
    search, or belongs to no lead. The CDK has no component that compares responses.

    Attributes:
        by_ids: reads leads by their ids.
        fields: the stream of definitions of custom fields.
        places: the path of the values of each kind of field, ``[]`` for the lead.
        lead_fields: the columns that a search requests.
    """

    name: str
    cursor_field: str
    by_ids: RecordsByIds
    fields: AbstractStream
    places: Mapping[str, Sequence[str]]
    lead_fields: Sequence[str]

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        # The kinds that leads have, for all we know, but no search has returned so far.
        self._open_kinds = set(self.places)
        self._compared_pages = 0
        self._are_incomplete = False

    def complete(self, leads: list[Row]) -> list[Row]:
        """Return the leads of a page with all that a read by ids returns."""
        with self._lock:
            has_open_questions = self._open_kinds or self._compared_pages < _PAGES_TO_COMPARE
            if has_open_questions and not self._are_incomplete:
                self._compare(leads)
        if not self._are_incomplete:
            return leads
        complete_leads = self.by_ids.read([lead["id"] for lead in leads])
        return [complete_leads.get(lead["id"], lead) for lead in leads]

    # Closes the kinds that these leads have, and looks for the rest in a read by ids.
    def _compare(self, leads: list[Row]) -> None:
        self._open_kinds -= self._kinds_with_values(leads)
        if self._open_kinds and self._compared_pages == 1:
            # Leads without any value prove nothing, unless there are no fields.
            self._open_kinds &= self._kinds_with_fields()
        complete_leads = self.by_ids.read([lead["id"] for lead in leads])
        unedited = [lead for lead in leads if self._is_unedited(lead, complete_leads)]
        if unedited:
            self._compared_pages += 1
        missing = set[str]()
        for lead in unedited:
            complete_lead = complete_leads[lead["id"]]
            if lead != complete_lead:  # most are equal, and what follows takes time
                missing |= self._missing(lead, complete_lead)
        if missing:
            self._are_incomplete = True
            LOGGER.info(_SEARCH_IS_INCOMPLETE, self.name, ", ".join(sorted(missing)))

    # A lead that was edited or deleted between search and read by ids proves nothing. One of them
    # may round the date to seconds, or the search may lack it.
    def _is_unedited(self, lead: Row, complete_leads: Mapping[str, Row]) -> bool:
        moment = moment_of(lead, self.cursor_field)
        complete_moment = moment_of(complete_leads.get(lead["id"], {}), self.cursor_field)
        if moment is None or complete_moment is None:
            return lead["id"] in complete_leads
        difference = abs(complete_moment - moment)
        is_rounded = 0 in (moment.microsecond, complete_moment.microsecond)
        return difference < SECOND if is_rounded else not difference

    # What a lead lacks.
    def _missing(self, lead: Row, complete_lead: Row) -> set[str]:
        columns = (complete_lead.keys() & set(self.lead_fields)) - {*lead, CUSTOM}
        paths = paths_with_values(complete_lead) - paths_with_values(lead)
        return columns | {path.partition("[")[0] for path in paths}

    def _kinds_with_values(self, leads: Iterable[Row]) -> set[str]:
        kinds = set[str]()
        for lead in leads:
            for kind, path in self.places.items():
                parts = parts_of(lead, path)
                if any(custom_values_of(part) for part in parts):
                    kinds.add(kind)
        return kinds

    # All kinds, if the definitions can't be read.
    def _kinds_with_fields(self) -> set[str]:
        kinds = set[str]()
        try:
            for kind, one_list in lists_of(self.fields).items():
                if kind in {*self.places, "shared"}:
                    for record in one_list.read():
                        kinds |= kinds_of(dict(record.data))
        except (AirbyteTracedException, AttributeError, TypeError):
            return set(self.places)
        return kinds


@dataclass
class SearchPage:
    """A page of a search for the rows whose cursor is in ``[start, end)``, in UTC.

    Attributes:
        start: inclusive.
        end: exclusive; that of the window.
        attempts: how many searches from this start were made again since the last new row.
        rows: the page's rows.
        rows_so_far: how many rows the search has returned, with this page.
        seen: their ids and cursors.
        token: that of the next page.
    """

    start: datetime
    end: datetime
    attempts: int = 0
    rows: Sequence[Row] = ()
    rows_so_far: int = 0
    seen: frozenset[tuple[str, str]] = frozenset()
    token: Mapping[str, Any] | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether the search has skipped no row so far.

        Between two pages of a search, an edited lead may leave it, which may hide another one, or
        leads of one moment may change places. So such a search is made again until it returns no
        new row, and more often if it has returned a row twice.
        """
        has_one_page = self.rows_so_far == len(self.rows)
        has_repetitions = len(self.seen) < self.rows_so_far
        return has_one_page or self.attempts >= (_MAX_ATTEMPTS if has_repetitions else 1)


@dataclass(kw_only=True)
class LeadSearchRetriever(WindowRetriever):
    """Reads a window in ascending order, each page by a new search.

    A search begins at the last tenth of the page before. If it returns a known row first, no row
    is skipped. Only leads of one moment, of the last ten minutes, and of a page that is not sorted
    are paged by cursor. ``CursorPagination``, the built-in, stops at the 10,000 rows of a chain of
    cursors, fails if a cursor has expired, and skips a row for each one that is edited meanwhile if
    cursors count positions, which Close does not document.

    Attributes:
        rows_per_chain: the number of rows after which Close ends a chain of cursors.
    """

    requester: HttpRequester
    paginator: DefaultPaginator
    rows_per_chain: int
    searched_leads: SearchedLeads

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows of a window, a page at a time."""
        known_ids = set[str]()
        page = self._search(SearchPage(start, end))
        while True:
            new_rows = {row["id"]: row for row in page.rows if row["id"] not in known_ids}
            known_ids.update(new_rows)
            if new_rows:
                page.attempts = 0
            yield self.searched_leads.complete(list(new_rows.values()))
            if self._is_last(page):
                return
            following = self._following_page(page, known_ids)
            page = following or self._search(SearchPage(page.start, end, page.attempts + 1))

    # Whether a page ends its window. A full page should have a cursor, and may be cut short.
    def _is_last(self, page: SearchPage) -> bool:
        is_cut = page.rows_so_far >= self.rows_per_chain
        if page.token is not None or is_cut or not page.is_confirmed:
            return False
        return len(page.rows) < self._page_size() or page.attempts >= _MAX_ATTEMPTS

    # The page after another: by a new search or, if that does not begin with a known row, by the
    # cursor. None if the search of the page has to be made again.
    def _following_page(self, page: SearchPage, known_ids: set[str]) -> SearchPage | None:
        ends_chain = page.rows_so_far + self._page_size() > self.rows_per_chain
        following = self._new_search(page, known_ids, ends_chain=ends_chain)
        if following is not None:
            return following if page.is_confirmed else None
        return None if ends_chain or page.token is None else self._page_after(page)

    # A new search that begins with a known row of the page's last ones, if there is one.
    def _new_search(
        self, page: SearchPage, known_ids: set[str], *, ends_chain: bool
    ) -> SearchPage | None:
        # Until the index shows an edit, Close sorts the lead by its date before the edit.
        settled = self._moments(page, min(page.end, utc_now() - LATENESS))
        if settled != sorted(settled):
            return None  # Close ignores the sort, so a new search would skip rows
        latest = _late_moment(settled, page) or page.start
        following = self._search_from_known_row(page, latest, known_ids)
        if following is None and ends_chain:
            latest = _late_moment(self._moments(page, page.end), page) or page.end - MILLISECOND
            following = self._search_from_known_row(page, latest, known_ids)
        return following

    # The dates of a page's rows that are before ``limit``.
    def _moments(self, page: SearchPage, limit: datetime) -> list[datetime]:
        moments = [moment_of(row, self.cursor_field) for row in page.rows]
        return [moment for moment in moments if moment is not None and moment < limit]

    # A new search that begins with a known row: from ``latest`` or, if that fails, from before.
    def _search_from_known_row(
        self, page: SearchPage, latest: datetime, known_ids: set[str]
    ) -> SearchPage | None:
        start = latest
        while start > page.start:
            following = self._page_after(SearchPage(start, page.end))
            if following and following.rows and following.rows[0]["id"] in known_ids:
                return following
            start = (page.start + (start - page.start) / 2).replace(microsecond=0)
        return None

    # The first page of a search; it is made again if its cursor has expired.
    def _search(self, search: SearchPage) -> SearchPage:
        for attempts in range(search.attempts, _MAX_ATTEMPTS + 1):
            page = self._page_after(replace(search, attempts=attempts))
            if page is not None:
                return page
        text = _STUCK.format(moment=format_moment(search.start), rows=self.rows_per_chain)
        raise CloseApiError(self.name, text)

    # The next page of a search, the first one after a page without rows. None if the cursor has
    # expired.
    def _page_after(self, page: SearchPage) -> SearchPage | None:
        bounds = {"start_time": format_moment(page.start), "end_time": format_moment(page.end)}
        response = self.requester.send_request(
            stream_slice=StreamSlice(partition={}, cursor_slice=bounds),
            request_body_json=self.paginator.get_request_body_json(next_page_token=page.token),
        )
        if response is None or not response.ok:
            return None
        rows = response_json(response)["data"]
        return replace(
            page,
            rows=rows,
            rows_so_far=page.rows_so_far + len(rows),
            seen=page.seen.union((row["id"], str(row.get(self.cursor_field))) for row in rows),
            token=self.paginator.next_page_token(response, len(rows), None, page.token),
        )

    def _page_size(self) -> int:
        return self.paginator.get_page_size() or 0


# The earliest of the dates of a page that are among those of its last tenth. A single row could
# show a newer date than the one by which the index sorts it.
def _late_moment(moments: Sequence[datetime], page: SearchPage) -> datetime | None:
    return min(moments[-max(len(page.rows) // 10, 1) :], default=None)


def paths_with_values(value: Any, path: str = "") -> set[str]:
    """Return where an object has values.

    They are such as ``contacts.emails.type``, ``contacts[1]`` for the second item of a list, and
    ``custom[1] Web`` for the second of the custom values, whatever its name is.
    """
    paths = set[str]()
    if isinstance(value, list):
        for number, item in enumerate(value):
            paths.add(f"{path}[{number}]")
            paths |= paths_with_values(item, path)
    elif isinstance(value, dict):
        prefix = f"{path}.".lstrip(".")
        custom_values = sorted(map(str, custom_values_of(value)))
        paths.update(
            f"{prefix}{CUSTOM}[{place}] {text}" for place, text in enumerate(custom_values)
        )
        for name, item in value.items():
            if name != CUSTOM and not name.startswith(PREFIX):
                paths |= paths_with_values(item, f"{prefix}{name}")
    elif value is not None:
        paths.add(path)
    return paths
