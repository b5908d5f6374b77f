"""Activities of every type except messages."""

from collections.abc import Callable

from .make_custom_fields import custom_values
from .make_messages import MESSAGE_MAKERS
from .maker import Maker, formatted_phone
from .records import Json
from .times import DAY, SECOND, iso, parse
from .world import World

ActivityMaker = Callable[[Maker, World, Json], Json]


def activity_base(maker: Maker, world: World, kind: str, created: int, updated: int) -> Json:
    """Return the fields that every activity has; the stamps are in microseconds."""
    person = maker.pick(world.people)
    editor = maker.maybe(maker.pick(world.people), 0.7)
    has_user = maker.chance(0.9)
    return {
        "_type": kind,
        "id": maker.id("acti"),
        "organization_id": world.organization_id,
        "lead_id": maker.pick(world.lead_ids) if world.lead_ids else None,
        "contact_id": maker.maybe(maker.id("cont"), 0.4),
        "user_id": person.id if has_user else None,
        "user_name": person.name if has_user else None,
        "users": [],
        "created_by": person.id if has_user else None,
        "created_by_name": person.name if has_user else None,
        "updated_by": editor.id if editor else None,
        "updated_by_name": editor.name if editor else None,
        "date_created": iso(created),
        "date_updated": iso(updated),
        "activity_at": iso(created),
    }


def _note(maker: Maker, world: World, base: Json) -> Json:
    text = maker.phrase()
    pinned = maker.chance(0.1)
    attachment = {
        "content_type": "application/pdf",
        "filename": "offer é.pdf",
        "size": 20_480,
        "url": "https://files.example/offer.pdf",
    }
    return {
        "note": text,
        "note_html": f"<body><p>{text}</p></body>",
        "note_mentions": [{"user_id": world.me.id}] if maker.chance(0.05) else [],
        "attachments": [attachment] if maker.chance(0.1) else [],
        "pinned": pinned,
        "pinned_at": base["date_updated"] if pinned else None,
        "title": maker.maybe("Résumé", 0.3),
        "source": None,
    }


def _call(maker: Maker, world: World, base: Json) -> Json:
    remote, local = maker.phone(), maker.maybe(maker.phone(), 0.8)
    duration = maker.number(0, 1_800)
    answered = maker.chance(0.6)
    return {
        "direction": maker.pick(("inbound", "outbound")),
        "status": maker.pick(("completed", "no-answer", "busy", "failed")),
        "disposition": maker.maybe("answered" if answered else "no-answer", 0.9),
        "duration": duration,
        "cost": maker.maybe(str(duration // 60 + 1), 0.6),
        "source": maker.pick(("Close.io", "External")),
        "call_method": "regular",
        "phone": remote,
        "local_phone": local,
        "local_phone_formatted": formatted_phone(local) if local else None,
        "local_country_iso": "US" if local else "",
        "remote_phone": remote,
        "remote_phone_formatted": formatted_phone(remote),
        "remote_country_iso": "US",
        "note": maker.maybe(maker.phrase()),
        "note_html": None,
        "outcome_id": None,
        "recording_url": None,
        "has_recording": False,
        "recording_expires_at": None,
        "voicemail_url": None,
        "voicemail_duration": 0,
        "date_answered": base["date_created"] if answered else None,
        "is_forwarded": False,
        "forwarded_to": None,
        "is_joinable": False,
        "is_to_group_number": False,
        "coach_legs": [],
        "transferred_from": None,
        "transferred_from_user_id": None,
        "transferred_to": None,
        "transferred_to_user_id": None,
        "dialer_id": None,
        "dialer_saved_search_id": None,
        "sequence_id": None,
        "sequence_name": None,
        "sequence_subscription_id": None,
        "users": [world.me.id] if maker.chance(0.2) else [],
    }


def _meeting(maker: Maker, world: World, base: Json) -> Json:
    start = parse(base.get("starts_at") or base["date_created"])
    duration = maker.pick((900, 1_800, 3_600))
    guest = {"name": None, "email": "guest@client.example", "contact_id": base["contact_id"], "user_id": None}
    host = {"name": world.me.name, "email": world.me.email, "contact_id": None, "user_id": world.me.id}
    is_over = start < parse(base["date_updated"])
    return {
        "title": maker.pick(("Demo", "Dégustation ☕", "Quarterly review")),
        "status": "completed" if is_over else "upcoming",
        "activity_at": iso(start),
        "starts_at": iso(start),
        "ends_at": iso(start + duration * SECOND),
        "duration": duration,
        "actual_duration": duration + 60 if is_over else None,
        "location": maker.maybe("Room 3"),
        "note": maker.phrase(),
        "user_note": None,
        "user_note_html": None,
        "user_note_mentions": [],
        "user_note_date_updated": None,
        "attendees": [
            {**host, "is_organizer": True, "status": "yes"},
            {**guest, "is_organizer": False, "status": maker.pick(("noreply", "yes", "no", "maybe"))},
        ],
        "calendar_event_link": "https://calendar.example/event",
        "calendar_event_uids": [f"{base['id']}@calendar.example"],
        "provider_calendar_event_id": f"event-{base['id']}",
        "provider_calendar_ids": [world.me.email],
        "provider_calendar_type": maker.pick(("google", "microsoft")),
        "connected_account_id": None,
        "conference_links": [{"type": "zoom", "url": "https://meet.example/1"}] if maker.chance(0.5) else [],
        "integrations": [],
        "is_recurring": maker.chance(0.2),
        "outcome_id": None,
        "source": "calendar",
        "summary": None,
        "notetaker_id": None,
        "attached_call_ids": [],
        "playbook_id": None,
        "playbook_id_reason": None,
        "conversation_type_id": None,
        "conversation_type_id_reason": None,
    }


def _custom_activity(maker: Maker, world: World, base: Json) -> Json:
    type_id = maker.pick(world.activity_type_ids)
    published = maker.chance(0.8)
    fields = [
        one
        for one in world.fields_for("activity")
        if one.get("custom_activity_type_id") in {None, type_id}
        and (
            not one["is_shared"] or any(link.get("custom_activity_type_id") == type_id for link in one["associations"])
        )
    ]
    return {
        "custom_activity_type_id": type_id,
        "status": "published" if published else "draft",
        "last_published_at": base["date_updated"] if published else None,
        "pinned": False,
        "pinned_at": None,
        "source": None,
        "mentions": [],
        **custom_values(maker, world, fields),
    }


def _created(maker: Maker, _: World, __: Json) -> Json:
    return {"source": maker.pick(("ui", "api", "import", None)), "import_id": None}


def _form_submission(maker: Maker, _: World, __: Json) -> Json:
    first, last = maker.person()
    field_id = maker.id("formfield")
    return {
        "form_id": maker.id("form"),
        "form_name": maker.maybe("Démo request", 0.8),
        "form_configuration_id": maker.id("formconf"),
        "origin": maker.maybe("https://shop.example", 0.5),
        "source_url": maker.maybe("https://shop.example/contact?utm=é", 0.5),
        "source_url_normalized": maker.maybe("https://shop.example/contact", 0.5),
        "ip_address": maker.maybe("192.0.2.7", 0.5),
        "values": {field_id: f"{first} {last}", maker.id("formfield"): maker.chance(0.5)},
        "values_by_name": {"Name": f"{first} {last}", "Newsletter": maker.chance(0.5)},
    }


def _lead_status_change(maker: Maker, world: World, __: Json) -> Json:
    old, new = maker.pick(world.lead_statuses), maker.pick(world.lead_statuses)
    return {
        "old_status_id": old.id,
        "old_status_label": old.label,
        "new_status_id": new.id,
        "new_status_label": new.label,
    }


def _opportunity_status_change(maker: Maker, world: World, base: Json) -> Json:
    old, new = maker.pick(world.opportunity_statuses), maker.pick(world.opportunity_statuses)
    value = maker.maybe(maker.number(0, 900_000), 0.8)
    return {
        "old_status_id": old.id,
        "old_status_label": old.label,
        "old_status_type": old.type,
        "new_status_id": new.id,
        "new_status_label": new.label,
        "new_status_type": new.type,
        "old_pipeline_id": world.pipeline_id,
        "old_pipeline_name": "Sales",
        "new_pipeline_id": world.pipeline_id,
        "new_pipeline_name": "Sales",
        "opportunity_id": maker.id("oppo"),
        "opportunity_value": value,
        "opportunity_value_formatted": None if value is None else f"${value // 100:,}",
        "opportunity_value_currency": "USD",
        "opportunity_value_period": maker.pick(("one_time", "monthly", "annual")),
        "opportunity_confidence": maker.number(0, 100),
        "opportunity_date_won": iso(parse(base["date_created"]) // DAY * DAY) if new.type == "won" else None,
    }


def _lead_merge(maker: Maker, _: World, base: Json) -> Json:
    return {
        "source_lead_id": maker.id("lead"),
        "destination_lead_id": base["lead_id"],
        "source_display_name": "Café Olé (old)",
        "destination_display_name": "Café Olé",
        "merge_status": "completed",
        "error_message": None,
    }


def _task_completed(maker: Maker, world: World, __: Json) -> Json:
    return {
        "task_id": maker.id("task"),
        "task_text": maker.phrase(),
        "task_assigned_to": world.me.id,
        "task_assigned_to_name": world.me.name,
    }


def _import_update(maker: Maker, _: World, __: Json) -> Json:
    return {"import_id": maker.id("impo"), "reverted": maker.chance(0.1)}


ACTIVITY_MAKERS: dict[str, ActivityMaker] = {
    "Note": _note,
    "Call": _call,
    **MESSAGE_MAKERS,
    "Meeting": _meeting,
    "CustomActivity": _custom_activity,
    "Created": _created,
    "FormSubmission": _form_submission,
    "LeadStatusChange": _lead_status_change,
    "OpportunityStatusChange": _opportunity_status_change,
    "LeadMerge": _lead_merge,
    "TaskCompleted": _task_completed,
    "ImportUpdate": _import_update,
}
