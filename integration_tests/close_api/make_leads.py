"""Leads, contacts and opportunities."""

from itertools import chain

from .make_custom_fields import custom_values
from .maker import COMPANIES, Maker
from .optional_columns import CONTACTS, OPPORTUNITIES, optional
from .records import Json
from .times import iso
from .world import World

_OF_CONTACTS = """
    title urls integration_links timezone timezone_source subscriptions recent_calls lead_suggestions_operation_id
"""
_OF_OPPORTUNITIES = """
    note note_html attachments comment_summary integration_links is_stalled lead_name lead_primary_email
    lead_primary_phone stall_status suggested_action value_formatted annualized_value annualized_expected_value
"""


def lead(maker: Maker, world: World, created: int, updated: int) -> Json:
    """Return a lead without children; the stamps are in microseconds."""
    lead_id = maker.id("lead")
    name = f"{maker.pick(COMPANIES)} {maker.number(1, 9_999)}"
    status = maker.pick(world.lead_statuses)
    fields = world.fields_for("lead")
    values = custom_values(maker, world, fields)
    field_names = {f"custom.{one['id']}": one["name"] for one in fields}
    return {
        "id": lead_id,
        "name": maker.maybe(name, 0.9),
        "display_name": name,
        "description": maker.pick((None, "", maker.phrase())),
        "url": maker.maybe(f"https://www{maker.number(1, 999)}.example"),
        "html_url": f"https://app.close.example/lead/{lead_id}/",
        "status_id": status.id,
        "status_label": status.label,
        "organization_id": world.organization_id,
        **world.authors(maker),
        "date_created": iso(created),
        "date_updated": iso(updated),
        "contact_ids": [],
        "contacts": [],
        "opportunities": [],
        "tasks": [],
        **optional(maker, "leads", "addresses integration_links"),
        "custom": {field_names[key]: value for key, value in values.items()},
        **values,
    }


def contact(maker: Maker, world: World, lead_id: str | None, created: int, updated: int) -> Json:
    name = maker.full_name()
    authors = world.authors(maker)
    return {
        "id": maker.id("cont"),
        "lead_id": lead_id,
        "name": maker.maybe(name, 0.9),
        "display_name": name,
        **optional(maker, CONTACTS, "emails phones", share=1.0),
        **optional(maker, CONTACTS, _OF_CONTACTS),
        "organization_id": world.organization_id,
        "created_by": authors["created_by"],
        "updated_by": authors["updated_by"],
        "date_created": iso(created),
        "date_updated": iso(updated),
        **custom_values(maker, world, world.fields_for("contact")),
    }


def opportunity(maker: Maker, world: World, lead_id: str | None, created: int, updated: int) -> Json:
    """Return an opportunity; without `lead_id` it gets the id of a lead that does not exist."""
    status = maker.pick(world.opportunity_statuses)
    value = maker.maybe(maker.number(0, 90_000) * 100, 0.9)
    confidence = maker.number(0, 100)
    person = maker.pick(world.people)
    return {
        "id": maker.id("oppo"),
        "lead_id": lead_id or maker.id("lead"),
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
        "value_period": maker.pick(("one_time", "monthly", "annual")),
        "value_currency": "USD",
        "expected_value": None if value is None else value * confidence // 100,
        "date_won": maker.date(updated) if status.type == "won" else None,
        "date_lost": iso(updated) if status.type == "lost" else None,
        **optional(maker, OPPORTUNITIES, _OF_OPPORTUNITIES),
        "organization_id": world.organization_id,
        **world.authors(maker),
        "date_created": iso(created),
        "date_updated": iso(updated),
        **custom_values(maker, world, world.fields_for("opportunity")),
    }


def optional_fields(lead_data: Json) -> Json:
    """Return the fields of a lead that the API shows only on request."""
    contacts = lead_data["contacts"]
    address = _first(lead_data["addresses"])
    return {
        "primary_email": _first(_joined(contacts, "emails")),
        "primary_phone": _first(_joined(contacts, "phones")),
        "source": "Website" if lead_data["url"] else None,
        "localtime": lead_data["date_created"] if address else None,
        "recent_calls": _joined(contacts, "recent_calls"),
        "summaries": [{"text": lead_data["description"]}] if lead_data["description"] else [],
        "contacts_summary": ", ".join(one["display_name"] for one in contacts),
        "primary_address_full": f"{address['address_1']}, {address['city']}" if address else None,
        "primary_address_summary": address["city"] if address else None,
    }


def _joined(contacts: list[Json], name: str) -> list[Json]:
    """Return the entries of a list that every contact has, of all contacts."""
    return list(chain.from_iterable(contact[name] for contact in contacts))


def _first(entries: list[Json]) -> Json | None:
    return entries[0] if entries else None
