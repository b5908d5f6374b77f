"""The route table: the function that handles each path."""

import re
from collections.abc import Callable
from functools import partial

from starlette.responses import Response

from .call import Call
from .errors import method_not_allowed, plain
from .kinds import ACTIVITY_PATHS
from .routes_events import events
from .routes_lists import activities, custom_fields, leads, me, single, tasks, users
from .search import Search

Handler = Callable[..., Response]
_ACTIVITY_KINDS = frozenset(ACTIVITY_PATHS)


class Routes:
    """The endpoints below `/api/v1`."""

    def __init__(self) -> None:
        """Build the table; its `Search` object keeps the cursors of all searches."""
        task, lead = frozenset({"task"}), frozenset({"lead"})
        one_type = "|".join(ACTIVITY_PATHS.values())
        self._table: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("GET", r"/activity/", activities),
                ("GET", rf"/activity/(?P<path>{one_type})/", activities),
                ("GET", rf"/activity/(?:(?:{one_type})/)?(?P<object_id>acti_\w+)/", partial(single, _ACTIVITY_KINDS)),
                ("GET", r"/lead/", leads),
                ("GET", r"/lead/(?P<object_id>\w+)/", partial(single, lead)),
                ("GET", r"/task/", tasks),
                ("GET", r"/task/(?P<object_id>\w+)/", partial(single, task)),
                ("GET", r"/user/", users),
                ("GET", r"/me/", me),
                ("GET", r"/event/", events),
                # Close's path had the plural until 2020, and Close still accepts it.
                ("GET", r"/custom_fields?/(?P<object_type>\w+)/", custom_fields),
                ("POST", r"/data/search/", Search().answer),
            )
        ]

    def answer(self, call: Call) -> Response:
        """Return the response to a call; raise a 404 for an unknown path and a 405 for an unknown method of a path."""
        allowed: list[str] = []
        for method, pattern, handler in self._table:
            match = pattern.fullmatch(call.path)
            if match is not None:
                allowed.append(method)
                if method == call.method:
                    return handler(call, **match.groupdict())
        raise method_not_allowed(allowed) if allowed else plain(404, "Not found.")
