"""`GET /task/`."""

from collections.abc import Callable

from starlette.responses import Response

from .call import Call
from .records import Json, Query, Record, Window
from .selecting import ORDERS, Test, all_of, field_test, query_name, visible
from .times import DAY, parse


def tasks(call: Call) -> Response:
    """Handle `GET /task/`; without `_type` the list contains only tasks of type `lead`."""
    tests: list[Test] = []
    types = call.values("_type__in", "_type") or ("lead",)
    if "all" not in types:
        wanted_types = frozenset(types)
        tests.append(lambda record: record.type in wanted_types)
    for name in ("lead_id", "assigned_to", "is_complete"):
        value = call.value(name)
        if value is not None:
            tests.append(_task_test(name, value))
    tests += _task_dates(call)
    order, arrange = ORDERS[call.settings.task_order], None
    match call.value("_order_by"):
        case "date_created":
            order = "created"
        case "-date_created":
            order = "-created"
        case "date" | "-date" as name:
            arrange = _by_task_date(descending=name == "-date")
        case _:
            pass
    hidden = visible(call, tests)
    query = Query(
        order=order,
        created=call.window("date_created"),
        updated=call.window("date_updated"),
        ids=call.values("id__in", "id"),
        name=query_name(call, hidden) if tests or arrange else None,
        where=all_of(tests),
        arrange=arrange,
    )
    return call.page(call.store.collections["task"].select(query), "task", with_total=True)


def _task_test(name: str, value: str) -> Test:
    if name == "lead_id":
        return lambda record: record.lead_id == value
    if name == "assigned_to":
        return lambda record: record.user_id == value
    wanted = value.lower() in {"true", "1"}
    return lambda record: record.data()[name] is wanted


def _task_dates(call: Call) -> list[Test]:
    """Return tests on the due dates of tasks; the views `inbox` and `future` set bounds themselves."""
    tests: list[Test] = []
    view = call.value("view")
    due = call.window("date").meet(*call.window("due_date"))
    tomorrow = (call.now // DAY + 1) * DAY
    match view:
        case "archive":
            tests.append(lambda record: bool(record.data()["is_complete"]))
        case "inbox":
            due = Window(call.window("date").start, tomorrow)
        case "future":
            due = Window(tomorrow, call.window("date").end)
        case _:
            pass
    if view in {"inbox", "future"}:
        tests.append(lambda record: not record.data()["is_complete"])
    if not due.is_open:
        tests.append(lambda record: _task_date(record.data()) in due)
    exact = call.value("date") or call.value("due_date")
    if exact is not None:
        tests.append(field_test("date", (exact,)))
    return tests


def _task_date(data: Json) -> int | None:
    return None if data["date"] is None else parse(data["date"])


def _by_task_date(*, descending: bool) -> Callable[[list[Record]], list[Record]]:
    def arrange(records: list[Record]) -> list[Record]:
        # A task without a date sorts as the smallest value.
        return sorted(records, key=lambda one: (_task_date(one.data()) or 0, one.tie), reverse=descending)

    return arrange
