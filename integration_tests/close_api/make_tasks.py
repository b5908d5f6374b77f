"""Tasks of all nine types."""

from .kinds import task_prefix
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
        "contact_id": maker.maybe(maker.id("cont"), 0.3),
        "contact_name": None,
        "lead_id": lead_id,
        "lead_name": world.lead_names.get(lead_id or ""),
        "object_type": object_type,
        "object_id": maker.id("oppo" if object_type == "opportunity" else "acti") if object_type else None,
        "organization_id": world.organization_id,
        "created_by": maker.maybe(person.id, 0.8),
        "created_by_name": None,
        "updated_by": maker.maybe(person.id, 0.6),
        "updated_by_name": None,
        "date_created": iso(created),
        "date_updated": iso(updated),
        "deduplication_key": None,
        "is_primary_lead_notification": maker.maybe(value=True, share=0.2),
        "resolution": None,
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
                "attachments": [],
            }
        case _:
            return {"text": maker.phrase(), "sequence_id": None, "sequence_subscription_id": None}


def _call_extras(maker: Maker, task_type: str) -> Json:
    phone = maker.phone()
    is_voicemail = task_type == "voicemail"
    return {
        "phone": phone,
        "phone_formatted": formatted_phone(phone),
        "phone_number_description": maker.maybe("Office"),
        "local_phone": maker.phone(),
        "remote_phone": phone,
        "remote_phone_formatted": formatted_phone(phone),
        "remote_phone_description": None,
        "voicemail_duration": maker.number(1, 90) if is_voicemail else 0,
        "voicemail_url": "https://files.example/voicemail.mp3" if is_voicemail else None,
        "recording_url": None,
        **({"text": maker.phrase(), "step_id": None, "agent_config_id": None} if task_type == "outgoing_call" else {}),
    }
