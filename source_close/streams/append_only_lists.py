"""Read the lists to which Close appends, activities and tasks, by date and offset.

https://developer.close.com/api/overview/pagination.md
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median_high

from source_close.api.errors import CloseApiError
from source_close.api.responses import Row
from source_close.dates import SECOND, format_moment, whole_second
from source_close.streams.offset_pages import OffsetPages, OffsetsExhaustedError
from source_close.streams.windows import WindowRetriever, slice_of

_OUT_OF_REACH = (
    "The records at {moment} can't be read completely: {reason} The stream stops here, so that "
    "none is skipped. If it stops here again, ask Close's support for a higher limit, or set "
    "start_date to a later moment."
)


@dataclass
class Window:
    """The rows of a list whose cursor is in ``[start, end)``, in UTC.

    Attributes:
        start: inclusive.
        end: exclusive.
        seen: id and cursor of each row that was read, in the API's order. Rows that were read in a
            wider window come first, since filters keep the order.
    """

    start: datetime
    end: datetime
    seen: dict[str, datetime | None] = field(default_factory=dict)

    def has_more_than(self, rows: int) -> bool:
        """Return whether more than ``rows`` rows were read that a split would divide.

        Rows outside the window do not count: if a list ignores dates, no split makes it shorter.
        """
        # The first condition is only for speed.
        return len(self.seen) > rows and len(self._seconds()) > rows

    def split(self, *, oldest_first: bool) -> list["Window"]:
        """Return both halves, or nothing if no second divides them. The last one is read first.

        With ``oldest_first`` that is the older half, since an edit moves a task to the newer one.
        Otherwise it is the half with more rows: if a list ignores dates, it soon fails there.
        The cut is the median of the rows, at a whole second, since Close may truncate date filters.
        If no row shows where to cut, the first second is cut off.
        """
        next_second = whole_second(self.start) + SECOND
        cut = median_high(self._seconds() or [next_second])
        if cut >= self.end:
            return []
        older = Window(self.start, cut)
        newer = Window(cut, self.end)
        for row_id, moment in self.seen.items():
            half = older if moment and moment < cut else newer
            half.seen[row_id] = moment
        if oldest_first:
            return [newer, older]
        return sorted([older, newer], key=lambda half: len(half.seen))

    # The seconds at which a split can be: those of the rows, without the first second.
    def _seconds(self) -> list[datetime]:
        seconds = [whole_second(moment) for moment in self.seen.values() if moment]
        return [second for second in seconds if self.start < second < self.end]


@dataclass(kw_only=True)
class AppendOnlyListRetriever(WindowRetriever):
    """Reads a window by offset, and splits it where offsets end or the window is large.

    ``SPLIT_REQUEST_WINDOW`` reads each half from its start (2.6 times the rows at a maximum offset
    of 2,000), and halves a window ten times at most: 16 days to 23 minutes.

    Attributes:
        rows_per_window: a window with more rows is split, as all of its ids are in memory.
    """

    pages: OffsetPages
    rows_per_window: int

    def read_window(self, start: datetime, end: datetime) -> Iterator[tuple[list[Row], datetime]]:
        """Yield the rows of a window, a page at a time."""
        windows = [Window(start, end)]
        while windows:
            window = windows.pop()
            window_slice = slice_of(window.start, window.end)
            try:
                for page, is_followed in self.pages.read(window.seen, window_slice):
                    yield page, end
                    if is_followed and window.has_more_than(self.rows_per_window):
                        # A split is possible, since it would divide the rows that were counted.
                        windows += window.split(oldest_first=self._reads_edits)
                        break
            except OffsetsExhaustedError as error:
                halves = window.split(oldest_first=self._reads_edits)
                if not halves:
                    text = _OUT_OF_REACH.format(
                        moment=format_moment(window.start), reason=error.text
                    )
                    raise CloseApiError(self.name, text) from None
                windows += halves
