"""Leads, contacts and opportunities."""

from .make_custom_fields import custom_values
from .make_parts import attachments, comment_summary
from .maker import COMPANIES, Maker, formatted_phone
from .records import Json
from .times import DAY, iso
from .world import World


def _authors(maker: Maker, world: World) -> Json:
    author, editor = maker.maybe(maker.pick(world.people), 0.95), maker.maybe(maker.pick(world.people), 0.7)
    return {"created_by": author.id if author else None, "updated_by": editor.id if editor else None}


def lead(maker: Maker, world: World, created: int, updated: int) -> Json:
    """Return a lead without children; the stamps are in microseconds."""
    lead_id = maker.id("lead")
    name = f"{maker.pick(COMPANIES)} {maker.number(1, 9_999)}"
    status = maker.pick(world.lead_statuses)
    authors = _authors(maker, world)
    names = {person.id: person.name for person in world.people}
    fields = world.fields_for("lead")
    values = custom_values(maker, world, fields)
    field_names = {f"custom.{one['id']}": one["name"] for one in fields}
    return {
        "id": lead_id,
        "name": maker.maybe(name, 0.97),
        "display_name": name,
        "description": maker.pick((None, "", maker.phrase())),
        "url": maker.maybe(f"https://www{maker.number(1, 999)}.example"),
        "html_url": f"https://app.close.example/lead/{lead_id}/",
        "status_id": status.id,
        "status_label": status.label,
        "organization_id": world.organization_id,
        **authors,
        "created_by_name": names.get(authors["created_by"]),
        "updated_by_name": names.get(authors["updated_by"]),
        "date_created": iso(created),
        "date_updated": iso(updated),
        "contact_ids": [],
        "contacts": [],
        "opportunities": [],
        "tasks": [],
        "addresses": [_address(maker)] if maker.chance(0.4) else [],
        "integration_links": _links(maker),
        "custom": {field_names[key]: value for key, value in values.items()},
        **values,
    }


def _address(maker: Maker) -> Json:
    return {
        "label": "business",
        "address_1": "1 Rue de l'Été",
        "address_2": maker.maybe("2º izquierda"),
        "city": maker.pick(("Málaga", "Łódź", "Springfield")),
        "state": maker.maybe("CA"),
        "zipcode": "00000",
        "country": maker.pick(("ES", "PL", "US", None)),
        "tz_ids": ["Europe/Madrid"],
    }


def _phone(maker: Maker) -> Json:
    phone = maker.phone()
    return {
        "phone": phone,
        "phone_formatted": formatted_phone(phone),
        "type": "mobile",
        "country": maker.maybe("US"),
        "tz_ids": ["America/New_York"],
        "outbound_sms_blocked": False,
    }


def _links(maker: Maker) -> list[Json]:
    return [{"name": "Search", "url": "https://search.example/?q=é"}] if maker.chance(0.2) else []


def _subscription(maker: Maker, created: int) -> Json:
    return {
        "subscription_id": maker.id("sub"),
        "subscription_status": "paused",
        "subscription_status_reason": "replied",
        "sequence_id": maker.id("seq"),
        "sequence_name": "Première prise de contact",
        "sequence_status": "active",
        "contact_email": "contact@client.example",
        "initial_email_id": maker.id("acti"),
        "date_created": iso(created),
        "start_date": iso(created + DAY),
    }


def _recent_call(maker: Maker, created: int) -> Json:
    return {
        "id": maker.id("acti"),
        "status": "completed",
        "duration": maker.number(0, 1_800),
        "finish_timestamp": iso(created + DAY),
        "dialer_id": maker.maybe(maker.id("dialer")),
    }


def contact(maker: Maker, world: World, lead_id: str | None, created: int, updated: int) -> Json:
    """Return a contact of a lead."""
    first, last = maker.person()
    name = f"{first} {last}"
    timezone = maker.maybe("Europe/Madrid")
    return {
        "id": maker.id("cont"),
        "lead_id": lead_id,
        "name": maker.maybe(name, 0.9),
        "display_name": name,
        "title": maker.maybe("Directrice générale", 0.4),
        "emails": [
            {"email": f"contact{maker.number(1, 999)}@client.example", "type": "office", "is_unsubscribed": False}
        ],
        "phones": [_phone(maker)],
        "urls": [{"url": "https://client.example", "type": "url"}] if maker.chance(0.2) else [],
        "integration_links": _links(maker),
        "lead_suggestions_operation_id": maker.maybe(maker.id("leadsugg"), 0.2),
        "timezone": timezone,
        "timezone_source": "phone" if timezone else None,
        "subscriptions": [_subscription(maker, created)] if maker.chance(0.3) else [],
        "recent_calls": [_recent_call(maker, created)] if maker.chance(0.3) else [],
        "organization_id": world.organization_id,
        **_authors(maker, world),
        "date_created": iso(created),
        "date_updated": iso(updated),
        **custom_values(maker, world, world.fields_for("contact")),
    }


def opportunity(maker: Maker, world: World, lead_id: str | None, created: int, updated: int) -> Json:
    """Return an opportunity; without `lead_id` it gets the id of a lead that does not exist."""
    status = maker.pick(world.opportunity_statuses)
    value = maker.maybe(maker.number(0, 90_000) * 100, 0.9)
    confidence = maker.number(0, 100)
    period = maker.pick(("one_time", "monthly", "annual"))
    yearly = None if value is None else value * (12 if period == "monthly" else 1)
    person = maker.pick(world.people)
    note = maker.pick((None, "", maker.phrase()))
    authors = _authors(maker, world)
    names = {person.id: person.name for person in world.people}
    return {
        "id": maker.id("oppo"),
        "lead_id": lead_id or maker.id("lead"),
        "lead_name": world.lead_names.get(lead_id or ""),
        "contact_id": None,
        "contact_name": None,
        "user_id": person.id,
        "user_name": person.name,
        "status_id": status.id,
        "status_label": status.label,
        "status_display_name": status.label,
        "status_type": status.type,
        "pipeline_id": world.pipeline_id,
        "pipeline_name": "Sales",
        "confidence": confidence,
        "value": value,
        "value_period": period,
        "value_currency": "USD",
        "value_formatted": None if value is None else f"${value // 100:,}",
        "expected_value": None if value is None else value * confidence // 100,
        "annualized_value": yearly,
        "annualized_expected_value": None if yearly is None else yearly * confidence // 100,
        "date_won": maker.date(updated) if status.type == "won" else None,
        "date_lost": iso(updated) if status.type == "lost" else None,
        "note": note,
        "note_html": f"<body><p>{note}</p></body>" if note else None,
        "attachments": attachments(maker),
        "comment_summary": comment_summary(maker),
        "integration_links": _links(maker),
        "lead_primary_email": {"email": "contact@client.example", "type": "office", "is_unsubscribed": False},
        "lead_primary_phone": [_phone(maker)],
        **_stall(maker),
        "organization_id": world.organization_id,
        **authors,
        "created_by_name": names.get(authors["created_by"]),
        "updated_by_name": names.get(authors["updated_by"]),
        "date_created": iso(created),
        "date_updated": iso(updated),
        **custom_values(maker, world, world.fields_for("opportunity")),
    }


def _stall(maker: Maker) -> Json:
    """Return whether an opportunity is stalled, and what may help; most are not."""
    if not maker.chance(0.3):
        return {"is_stalled": False, "stall_status": None, "suggested_action": None}
    step = {"action": "send_email", "justification": "No answer for a month"}
    details = {
        "call_plan": "Ask for the budget",
        "close_date": "2025-06-30",
        "contact_id": maker.id("cont"),
        "message_draft": "Dear …",
        "status_id": maker.id("stat"),
        "subject_draft": "Your offer",
    }
    return {
        "is_stalled": True,
        "stall_status": {"communication_issue": "They are on holiday", "next_action": step},
        "suggested_action": {**step, "details": details},
    }


def optional_fields(lead_data: Json) -> Json:
    """Return the fields of a lead that the API shows only on request."""
    emails = [email for one in lead_data["contacts"] for email in one["emails"]]
    phones = [phone for one in lead_data["contacts"] for phone in one["phones"]]
    calls = [call for one in lead_data["contacts"] for call in one["recent_calls"]]
    addresses = lead_data["addresses"]
    cities = [address["city"] for address in addresses]
    return {
        "primary_email": emails[0] if emails else None,
        "primary_phone": phones[0] if phones else None,
        "source": "Website" if lead_data["url"] else None,
        "localtime": lead_data["date_created"] if cities else None,
        "recent_calls": calls,
        "summaries": [{"text": lead_data["description"]}] if lead_data["description"] else [],
        "contacts_summary": ", ".join(one["display_name"] for one in lead_data["contacts"]),
        "primary_address_full": ", ".join((addresses[0]["address_1"], cities[0])) if addresses else None,
        "primary_address_summary": cities[0] if cities else None,
    }
