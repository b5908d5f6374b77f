"""Tasks of all nine types."""

from .kinds import task_prefix
from .maker import Maker
from .optional_columns import optional
from .records import Json
from .times import DAY, iso
from .world import World

_CALL = """
    phone phone_formatted phone_number_description local_phone remote_phone remote_phone_formatted
    remote_phone_description voicemail_duration voicemail_url recording_url
"""
_EMAIL = "subject body_preview emails email_id total_emails_count_in_thread"
# The columns of each type, besides those of all tasks.
_OPTIONAL = {
    "lead": "text sequence_id sequence_subscription_id",
    "incoming_email": _EMAIL,
    "email_followup": _EMAIL,
    "missed_call": _CALL,
    "answered_detached_call": _CALL,
    "voicemail": _CALL,
    "opportunity_due": """
        opportunity_note opportunity_value opportunity_value_currency opportunity_value_formatted
        opportunity_value_period
    """,
    "incoming_sms": "text local_phone remote_phone remote_phone_formatted attachments",
    "outgoing_call": f"{_CALL} text step_id agent_config_id",
}
TASK_TYPES = tuple(_OPTIONAL)
_OF_ALL = """
    contact_name lead_name object_id object_type deduplication_key is_primary_lead_notification resolution priority
"""


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
    return {
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
        "lead_id": lead_id,
        "organization_id": world.organization_id,
        **world.authors(maker),
        "date_created": iso(created),
        "date_updated": iso(updated),
        **optional(maker, "tasks", _OF_ALL),
        **optional(maker, "tasks", _OPTIONAL[task_type], share=0.7),
    }
