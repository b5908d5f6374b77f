"""The route table: the function that handles each path."""

import re
from collections.abc import Callable
from functools import partial

from .call import Call
from .errors import Response, plain
from .kinds import ACTIVITY_PATHS, CUSTOM_FIELD_OBJECTS
from .routes_events import events
from .routes_lists import activities, custom_fields, leads, me, single, tasks, users
from .search import search

_ONE_TYPE = "|".join(ACTIVITY_PATHS.values())
_ROUTES: tuple[tuple[str, str, Callable[..., Response]], ...] = (
    ("GET", r"/activity/", activities),
    ("GET", rf"/activity/(?P<path>{_ONE_TYPE})/", activities),
    ("GET", rf"/activity/(?:(?:{_ONE_TYPE})/)?(?P<object_id>acti_\w+)/", partial(single, frozenset(ACTIVITY_PATHS))),
    ("GET", r"/lead/", leads),
    ("GET", r"/lead/(?P<object_id>\w+)/", partial(single, frozenset({"lead"}))),
    ("GET", r"/task/", tasks),
    ("GET", r"/task/(?P<object_id>\w+)/", partial(single, frozenset({"task"}))),
    ("GET", r"/user/", users),
    ("GET", r"/me/", me),
    ("GET", r"/event/", events),
    # Close's path had the plural until 2020, and Close still accepts it.
    ("GET", rf"/custom_fields?/(?P<object_type>{'|'.join(CUSTOM_FIELD_OBJECTS)})/", custom_fields),
    ("POST", r"/data/search/", search),
)


def answer(call: Call) -> Response:
    """Return the response to a call; raise a 404 for an unknown method or path."""
    for method, pattern, handler in _ROUTES:
        match = re.fullmatch(pattern, call.request.path)
        if match is not None and method == call.request.effective_method:
            return handler(call, **match.groupdict())
    raise plain(404, "Not found.")
