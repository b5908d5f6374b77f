"""Tasks of all nine types."""

from .kinds import task_prefix
from .make_parts import attachments
from .maker import Maker, formatted_phone
from .records import Json
from .times import DAY, iso
from .world import World

_CALL_TYPES = {"missed_call", "answered_detached_call", "voicemail", "outgoing_call"}
_EMAIL_TYPES = {"incoming_email", "email_followup"}
_OBJECT_TYPES = {
    "incoming_email": "emailthread",
    "email_followup": "emailthread",
    "missed_call": "call",
    "answered_detached_call": "call",
    "voicemail": "call",
    "opportunity_due": "opportunity",
    "incoming_sms": "sms",
}


def task(maker: Maker, world: World, task_type: str, created: int, updated: int) -> Json:
    """Return a task that is due within a week of its creation; the stamps are in microseconds."""
    due = created + maker.number(-3, 7) * DAY
    is_dateless = maker.chance(0.1)
    date = None if is_dateless else maker.pick((maker.date(due), iso(due)))
    is_complete = maker.chance(0.4)
    person = maker.pick(world.people)
    lead_id = maker.pick(world.lead_ids) if world.lead_ids else None
    if task_type == "answered_detached_call":
        lead_id = None
    object_type = _OBJECT_TYPES.get(task_type)
    contact_id = maker.maybe(maker.id("cont"), 0.3)
    author = maker.maybe(person, 0.8)
    editor = maker.maybe(person, 0.6)
    data: Json = {
        "_type": task_type,
        "id": maker.id(task_prefix(task_type)),
        "date": date,
        "due_date": date,
        "view": "archive" if is_complete else maker.pick(("inbox", "future")),
        "is_complete": is_complete,
        "is_dateless": is_dateless,
        "assigned_to": person.id,
        "assigned_to_name": person.name,
        "contact_id": contact_id,
        "contact_name": "Zoë Nováková" if contact_id else None,
        "lead_id": lead_id,
        "lead_name": world.lead_names.get(lead_id or ""),
        "object_type": object_type,
        "object_id": maker.id("oppo" if object_type == "opportunity" else "acti") if object_type else None,
        "organization_id": world.organization_id,
        "created_by": author.id if author else None,
        "created_by_name": author.name if author else None,
        "updated_by": editor.id if editor else None,
        "updated_by_name": editor.name if editor else None,
        "date_created": iso(created),
        "date_updated": iso(updated),
        "deduplication_key": maker.maybe(maker.id("dedup"), 0.3),
        "is_primary_lead_notification": maker.maybe(value=True, share=0.2),
        "resolution": maker.maybe("done", 0.3),
        "priority": maker.pick((None, None, "high")),
    }
    return data | _extras(maker, task_type)


def _extras(maker: Maker, task_type: str) -> Json:
    if task_type in _CALL_TYPES:
        return _call_extras(maker, task_type)
    if task_type in _EMAIL_TYPES:
        email_id = maker.id("acti")
        return {
            "subject": maker.pick(("Tarif", "offer 📄", "")),
            "body_preview": maker.phrase(),
            "emails": [email_id],
            "email_id": email_id,
            "total_emails_count_in_thread": maker.number(1, 9),
        }
    match task_type:
        case "opportunity_due":
            value = maker.number(0, 5_000) * 100
            return {
                "opportunity_note": maker.maybe(maker.phrase()),
                "opportunity_value": value,
                "opportunity_value_currency": "USD",
                "opportunity_value_formatted": f"${value // 100:,}",
                "opportunity_value_period": "one_time",
            }
        case "incoming_sms":
            phone = maker.phone()
            return {
                "text": maker.phrase(),
                "local_phone": maker.phone(),
                "remote_phone": phone,
                "remote_phone_formatted": formatted_phone(phone),
                "attachments": attachments(maker, media_id=maker.id("media")),
            }
        case _:
            return {"text": maker.phrase(), **_sequence(maker)}


def _sequence(maker: Maker) -> Json:
    if not maker.chance(0.3):
        return {"sequence_id": None, "sequence_subscription_id": None}
    return {"sequence_id": maker.id("seq"), "sequence_subscription_id": maker.id("sub")}


def _outgoing_call(maker: Maker) -> Json:
    """Return the fields that a sequence or an AI agent sets in a call to make."""
    return {
        "text": maker.phrase(),
        "step_id": maker.maybe(maker.id("step"), 0.4),
        "agent_config_id": maker.maybe(maker.id("agentconf"), 0.4),
    }


def _call_extras(maker: Maker, task_type: str) -> Json:
    phone = maker.phone()
    is_voicemail = task_type == "voicemail"
    is_recorded = task_type == "answered_detached_call"
    return {
        "phone": phone,
        "phone_formatted": formatted_phone(phone),
        "phone_number_description": maker.maybe("Office"),
        "local_phone": maker.phone(),
        "remote_phone": phone,
        "remote_phone_formatted": formatted_phone(phone),
        "remote_phone_description": maker.maybe("Mobile"),
        "voicemail_duration": maker.number(1, 90) if is_voicemail else 0,
        "voicemail_url": "https://files.example/voicemail.mp3" if is_voicemail else None,
        "recording_url": "https://files.example/call.mp3" if is_recorded else None,
        **(_outgoing_call(maker) if task_type == "outgoing_call" else {}),
    }
