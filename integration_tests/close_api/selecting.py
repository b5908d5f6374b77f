"""What the lists share to select their rows."""

from collections.abc import Callable

from .call import Call
from .records import Record
from .settings import ListOrder

ORDERS: dict[ListOrder, str] = {
    "newest": "-created",
    "oldest": "created",
    "id": "id",
    "inserted": "inserted",
    "date_updated": "updated",
}

Test = Callable[[Record], bool]


def visible(call: Call) -> tuple[frozenset[str], Test | None]:
    """Return the ids of the leads that the role may not see, and a test that excludes what belongs to them."""
    hidden = frozenset(call.settings.hidden_lead_ids)
    if not hidden:
        return hidden, None
    return hidden, lambda record: not call.store.is_hidden(record)
