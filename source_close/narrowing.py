"""Reads a second that holds more records than one list gives out: by type, then by lead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from source_close.offset_pages import OffsetPages, SkipCapError, UnstableListError
from source_close.windows import Row


@dataclass(frozen=True)
class Narrowing:
    """How the list of a stream can be cut other than by time.

    Attributes:
        parts: lists or filters that together hold all of it, each with a ``path`` or ``parameters``.
        lead_parameter: the filter by leads.
        leads_a_request: how many leads that filter takes at once.
        lead_ids: all leads of the account; asked for only when needed.
        pages_of: the pages of the second, given a path and parameters.
    """

    parts: Sequence[Mapping[str, Any]]
    lead_parameter: str
    leads_a_request: int
    lead_ids: Callable[[], Iterable[str]]
    pages_of: Callable[[str, Mapping[str, Any]], OffsetPages]

    def pages(self) -> Iterator[list[Row]]:
        """Yield the rows of every part; one may come in several.

        Raises:
            SkipCapError: the records of one lead alone exceed what a list gives out, or some have no lead.
            UnstableListError: a list comes in another order with every request.
        """
        for part in self.parts:
            path, parameters = part.get("path", ""), part.get("parameters", {})
            leads_met = set[str | None]()
            try:
                for rows in self.pages_of(path, parameters):
                    leads_met.update(row.get("lead_id") for row in rows)
                    yield rows
            except (SkipCapError, UnstableListError):
                ids = list(self.lead_ids())
                if not leads_met.issubset(ids):  # where some have no lead, more such records may lie behind the cap
                    raise
                for first in range(0, len(ids), self.leads_a_request):
                    yield from self._pages_of_leads(path, parameters, ids[first : first + self.leads_a_request])

    def _pages_of_leads(self, path: str, parameters: Mapping[str, Any], ids: Sequence[str]) -> Iterator[list[Row]]:
        try:
            yield from self.pages_of(path, {**parameters, self.lead_parameter: ",".join(ids)})
        except (SkipCapError, UnstableListError):
            if len(ids) == 1:
                raise
            half = len(ids) // 2
            yield from self._pages_of_leads(path, parameters, ids[:half])
            yield from self._pages_of_leads(path, parameters, ids[half:])
