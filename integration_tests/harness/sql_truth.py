"""The rows that the views of examples/ and the queries of docs/ must return, from the data of the local API."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.moments import DAY, moment, now
from integration_tests.harness.truth import records

Row = dict[str, Any]
Truth = Callable[[LocalCloseApi], list[Row]]
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:\+00:00)?")
CONTACTED = {"Call", "Email", "SMS", "WhatsAppMessage", "Meeting"}


def canonical(rows: Iterable[Row]) -> list[str]:
    """Return rows in a form that does not depend on the database's order and format of numbers, times and JSON."""
    return sorted(json.dumps({name: _plain(row[name]) for name in sorted(row)}) for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith("["):
            return _plain(json.loads(value))
        found = MOMENT.fullmatch(value)
        return f"{found[1]}T{found[2]}.{(found[3] or '')[:3]:0<3}" if found else value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return round(float(value), 6) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def stamp(value: str | None) -> str | None:
    """Return a timestamp of the API in UTC, as a database shows it."""
    return None if value is None else moment(value).replace(tzinfo=None).isoformat(timespec="milliseconds")


def divided(value: float | None, divisor: int) -> float | None:
    """Return a quotient as in SQL: null if the value is null."""
    return None if value is None else value / divisor


def total(values: Iterable[float | None]) -> float | None:
    """Return a sum as in SQL: null if there are no values."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def grouped(rows: Iterable[Row], *names: str) -> Iterator[tuple[Row, list[Row]]]:
    """Group rows by the values of some columns; yield these values and the rows of each group."""
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(name) for name in names)].append(row)
    for key, members in groups.items():
        yield dict(zip(names, key, strict=True)), members


def rows_of(api: LocalCloseApi, stream: str) -> list[Row]:
    with api.store.lock:
        return [record.data() for record in records(api, stream)]


def activities(api: LocalCloseApi) -> list[Row]:
    """Return the rows of the table: no meetings in the future."""
    end = now()
    return [one for one in rows_of(api, "activities") if moment(one["date_created"]) < end]


def emails(api: LocalCloseApi) -> dict[str | None, str | None]:
    """Return the email of each user by id; no user, no email."""
    return {None: None} | {one["id"]: one["email"] for one in rows_of(api, "users")}


def fields(api: LocalCloseApi) -> dict[str, Row]:
    return {
        record.id: record.data() | {"object_type": record.kind.removeprefix("custom_field.")}
        for record in records(api, "custom_fields")
    }


def nested(api: LocalCloseApi, name: str) -> Iterator[tuple[Row, Row]]:
    """Yield each lead with each entry of one of its lists."""
    for lead in rows_of(api, "leads"):
        for one in lead[name]:
            yield lead, one


def values_of(one: Row) -> dict[str, Any]:
    """Return the custom values of an object, keyed by field id."""
    values = {name.removeprefix("custom."): value for name, value in one.items() if name.startswith("custom.")}
    return {field_id: value for field_id, value in values.items() if value is not None}


# The views of examples/views_duckdb.sql and examples/views_postgres.sql.


def contacts_view(api: LocalCloseApi) -> list[Row]:
    return [
        {
            "id": one["id"],
            "lead_id": lead["id"],
            "lead": lead["display_name"],
            "name": one["display_name"],
            "title": one["title"],
            "email": one["emails"][0]["email"],
            "phone": one["phones"][0]["phone"],
            "date_created": stamp(one["date_created"]),
            "date_updated": stamp(one["date_updated"]),
        }
        for lead, one in nested(api, "contacts")
    ]


def opportunities_view(api: LocalCloseApi) -> list[Row]:
    return [
        {
            "id": one["id"],
            "lead_id": lead["id"],
            "lead": lead["display_name"],
            "contact_id": one["contact_id"],
            "contact": one["contact_name"],
            "user_id": one["user_id"],
            "owner": one["user_name"],
            "pipeline": one["pipeline_name"],
            "status": one["status_label"],
            "status_type": one["status_type"],
            "value": divided(one["value"], 100),
            "currency": one["value_currency"],
            "period": one["value_period"],
            "confidence": one["confidence"],
            "expected_value": divided(one["expected_value"], 100),
            "date_won": one["date_won"],
            "date_lost": stamp(one["date_lost"]),
            "date_created": stamp(one["date_created"]),
            "date_updated": stamp(one["date_updated"]),
        }
        for lead, one in nested(api, "opportunities")
    ]


def open_pipeline_view(api: LocalCloseApi) -> list[Row]:
    still_open = [one for one in opportunities_view(api) if one["status_type"] == "active"]
    rows = []
    for key, deals in grouped(still_open, "user_id", "owner", "pipeline", "status", "currency", "period"):
        sums = {name: total(one[name] for one in deals) for name in ("value", "expected_value")}
        rows.append({**key, "deals": len(deals), **sums})
    return rows


def custom_values_view(api: LocalCloseApi) -> list[Row]:
    objects = [("lead", lead["id"], lead) for lead in rows_of(api, "leads")]
    objects += [("contact", lead["id"], one) for lead, one in nested(api, "contacts")]
    objects += [("opportunity", lead["id"], one) for lead, one in nested(api, "opportunities")]
    objects += [("activity", one["lead_id"], one) for one in activities(api)]
    known = fields(api)
    rows = []
    for object_type, lead_id, one in objects:
        for field_id, value in values_of(one).items():
            field = known[field_id]
            row = {"object_type": object_type, "object_id": one["id"], "lead_id": lead_id}
            row |= {"field_id": field_id, "field": field["name"], "type": field["type"]}
            row["value"] = _text(value, field, object_type)
            rows.append(row)
    return rows


def _text(value: Any, field: Row, object_type: str) -> str:
    if isinstance(value, list):
        return json.dumps(value)
    # The custom columns of activities contain numbers with nine decimal places.
    if object_type == "activity" and field["type"] == "number":
        return f"{value:.9f}".rstrip("0").rstrip(".")
    return str(value)


def activities_by_day_view(api: LocalCloseApi) -> list[Row]:
    email_of = emails(api)
    rows = [one | {"day": str(moment(one["activity_at"] or one["date_created"]).date())} for one in activities(api)]
    return [
        key
        | {
            "email": email_of[key["user_id"]],
            "calls": _count(done, "Call"),
            "call_minutes": sum(one["duration"] for one in done if one["_type"] == "Call") / 60,
            "emails_sent": _count(done, "Email", status={"sent"}),
            "emails_received": _count(done, "Email", direction={"incoming"}),
            "text_messages": _count(done, "SMS", status={"sent", "inbox"}) + _count(done, "WhatsAppMessage"),
            "meetings": _count(done, "Meeting", status={"completed"}),
            "notes": _count(done, "Note"),
            "tasks_completed": _count(done, "TaskCompleted"),
            "activities": len(done),
        }
        for key, done in grouped(rows, "day", "user_id")
    ]


def _count(rows: Iterable[Row], kind: str, **wanted: set[str]) -> int:
    return sum(row["_type"] == kind and all(row[name] in values for name, values in wanted.items()) for row in rows)


VIEWS: dict[str, Truth] = {
    "contacts": contacts_view,
    "opportunities": opportunities_view,
    "open_pipeline": open_pipeline_view,
    "custom_values": custom_values_view,
    "activities_by_day": activities_by_day_view,
}

# The queries of docs/, keyed by the sentence before each query.


def _won(api: LocalCloseApi) -> list[Row]:
    won = (one for one in opportunities_view(api) if one["status_type"] == "won")
    rows = [one | {"month": f"{one['date_won'][:7]}-01"} for one in won]
    return [
        key | {"deals": len(deals), "value": total(one["value"] for one in deals)}
        for key, deals in grouped(rows, "month", "currency", "period")
    ]


def _recent(api: LocalCloseApi) -> list[Row]:
    email_of = emails(api)
    end = now()
    start = end - 30 * DAY
    wanted = [one for one in activities(api) if one["_type"] in {"Call", "Email", "Meeting"}]
    rows = [one | {"who": email_of[one["user_id"]]} for one in wanted if start <= moment(one["activity_at"]) < end]
    return [
        key | {"number": len(done), "hours": divided(total(one.get("duration") for one in done), 3600)}
        for key, done in grouped(rows, "who", "_type")
    ]


def _silent(api: LocalCloseApi) -> list[Row]:
    last: dict[str, str] = {}
    for one in activities(api):
        if one["_type"] in CONTACTED:
            last[one["lead_id"]] = max(last.get(one["lead_id"], ""), one["activity_at"])
    rows = [
        {
            "id": lead["id"],
            "display_name": lead["display_name"],
            "status_label": lead["status_label"],
            "last_contact": stamp(last.get(lead["id"])),
        }
        for lead in rows_of(api, "leads")
    ]
    oldest = (now() - 60 * DAY).replace(tzinfo=None).isoformat()
    return [row for row in rows if row["last_contact"] is None or row["last_contact"] < oldest]


def _overdue(api: LocalCloseApi) -> list[Row]:
    today = str(now().date())
    rows = [one for one in rows_of(api, "tasks") if not one["is_complete"] and one["date"] and one["date"][:10] < today]
    return [
        key | {"overdue": len(late), "oldest": min(one["date"][:10] for one in late)}
        for key, late in grouped(rows, "assigned_to_name")
    ]


def _deleted(api: LocalCloseApi) -> list[Row]:
    email_of = emails(api)
    week = now() - 7 * DAY
    return [
        {
            "object_type": one["object_type"],
            "object_id": one["object_id"],
            "date_updated": stamp(one["date_updated"]),
            "email": email_of[one["user_id"]],
            "name": (one["previous_data"] or {}).get("display_name"),
        }
        for one in rows_of(api, "event_log")
        if one["action"] == "deleted" and moment(one["date_updated"]) >= week
    ]


def _columns(api: LocalCloseApi) -> list[Row]:
    rows = []
    for field_id, field in fields(api).items():
        places = field["associations"] if field["object_type"] == "shared" else [field]
        for place in places:
            in_columns = place["object_type"] in {"lead", "activity", "custom_activity_type"}
            rows.append(
                {
                    "belongs_to": place["object_type"],
                    "name": field["name"],
                    "key": f"custom_{field_id}".lower() if in_columns else f"custom.{field_id}",
                    "type": field["type"],
                    "is_list": field["accepts_multiple_values"],
                    "activity_type": place.get("custom_activity_type_id"),
                    "custom_object_type": place.get("custom_object_type_id"),
                }
            )
    return rows


def named_leads(api: LocalCloseApi) -> list[Row]:
    """Return the leads with their custom values, keyed by the column names of the view."""
    names = {field_id: field["name"] for field_id, field in fields(api).items() if _is_of_leads(field)}
    taken = Counter(name.lower() for name in names.values()) + Counter({"name": 1})  # `name` is a column of leads
    repeated = {field_id: f"{name} {field_id}" for field_id, name in names.items() if taken[name.lower()] > 1}
    labels = names | repeated
    return [
        {"id": lead["id"]} | {labels[field_id]: value for field_id, value in values_of(lead).items()}
        for lead in rows_of(api, "leads")
    ]


def _is_of_leads(field: Row) -> bool:
    """Return whether leads may have a custom field."""
    links = field.get("associations", ())
    return "lead" in {field["object_type"], *(link["object_type"] for link in links)}


QUERIES: dict[str, Truth] = {
    "Won opportunities by month.": _won,
    "Calls, emails and meetings of the last 30 days by user.": _recent,
    "Leads without a call, message or meeting in the last 60 days.": _silent,
    "Overdue tasks by assignee.": _overdue,
    "Deletions of the last week, and who made them.": _deleted,
    "The name and meaning of each column.": _columns,
}
