"""`GET /activity/` and the lists by type."""

from starlette.responses import Response

from .call import Call
from .errors import plain
from .make_messages import slim_email
from .records import Collection, Query, Record, Window
from .selecting import ORDERS, Test, all_of, field_test, query_name, visible
from .times import parse

_LEAD_ONLY_FILTERS = ("user_id", "user_id__in", "contact_id", "contact_id__in", "_type", "_type__in")
_TYPE_FILTERS = {
    "custom": ("custom_activity_type_id",),
    "form_submission": ("form_id",),
    "whatsapp_message": ("external_whatsapp_message_id",),
    "meeting": ("provider_calendar_event_id",),
    "status_change/opportunity": ("opportunity_id",),
}


def activities(call: Call, path: str | None = None) -> Response:
    """Handle `GET /activity/`, or the list of one type if `path` names it."""
    lead_ids = call.values("lead_id__in", "lead_id")
    has_lead = lead_ids is not None and len(lead_ids) == 1
    tests: list[Test] = []
    if lead_ids is not None:
        wanted = frozenset(lead_ids)
        tests.append(lambda record: record.lead_id in wanted)
    if path is None and not has_lead and call.settings.filter_needs_lead == "reject":
        for name in _LEAD_ONLY_FILTERS:
            if call.value(name):
                raise plain(400, f"{name} can only be used together with lead_id.")
    if path is not None or has_lead:
        tests += _activity_tests(call, by_type=path is None)
    if path is not None:
        tests += _special_tests(call, path, has_lead=has_lead)
    order = ORDERS[call.settings.activity_order]
    arrange = None
    created = call.window("date_created")
    match call.value("_order_by") if path is None else None:
        case "date_created":
            order = "created"
        case "-date_created":
            order = "-created"
        case "-activity_at" if has_lead:
            created = Window()
            held = call.window("activity_at")
            tests.append(lambda record: _activity_at(record) in held)
            arrange = _newest_activity_first
        case _:
            pass
    hidden = visible(call, tests)
    query = Query(
        order=order,
        created=created,
        ids=call.values("id__in"),
        name=query_name(call, hidden) if tests or arrange else None,
        where=all_of(tests),
        arrange=arrange,
    )
    return call.page(_activity_collection(call, path).select(query), "activity")


def _activity_at(record: Record) -> int:
    text = record.data()["activity_at"]
    return record.created if text is None else parse(text)


def _newest_activity_first(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda one: (_activity_at(one), one.tie, one.id), reverse=True)


def _activity_collection(call: Call, path: str | None) -> Collection:
    collections = call.store.collections
    if path is not None:
        return collections[f"activity/{path}"]
    threads = call.value("thread_emails")
    if threads not in {"true", "only"}:
        return collections["activity"]
    chosen = Collection()
    chosen.load(collections["activity/emailthread"].records.values())
    chosen.load(
        Record("Email", slim_email(record.data())) if record.type == "Email" else record
        for record in collections["activity"].records.values()
        if record.type != "Email" or threads == "true"
    )
    return chosen


def _activity_tests(call: Call, *, by_type: bool) -> list[Test]:
    tests: list[Test] = []
    users = call.values("user_id__in", "user_id")
    if users:
        wanted_users = frozenset(users)
        tests.append(lambda record: record.user_id in wanted_users)
    contacts = call.values("contact_id__in", "contact_id")
    if contacts:
        tests.append(field_test("contact_id", contacts))
    types = call.values("_type__in", "_type")
    if types and by_type:
        wanted = frozenset("CustomActivity" if one == "Custom" else one for one in types)
        tests.append(
            lambda record: (
                record.type in wanted
                or (record.type == "CustomActivity" and record.data()["custom_activity_type_id"] in wanted)
            )
        )
    return tests


def _special_tests(call: Call, path: str, *, has_lead: bool) -> list[Test]:
    tests: list[Test] = []
    for name in _TYPE_FILTERS.get(path, ()):
        wanted = call.values(f"{name}__in", name)
        if wanted is None:
            continue
        if path == "custom" and not has_lead:
            if call.settings.filter_needs_lead == "reject":
                raise plain(400, f"{name} can only be used together with lead_id.")
            continue
        tests.append(field_test(name, wanted))
    return tests
