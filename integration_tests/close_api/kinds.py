"""The kinds of objects: their id prefixes, the lists that contain them and their names in the event log."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    `collections` are the lists that contain the object. `event_type` is its `object_type` in the event log (None: the
    kind has no events).
    """

    prefix: str
    collections: tuple[str, ...] = ()
    event_type: str | None = None


def _activity(path: str, event_type: str | None, *, general: bool = True) -> Kind:
    own = f"activity/{path}"
    return Kind("acti", ("activity", own) if general else (own,), event_type)


ACTIVITY_PATHS = {
    "Note": "note",
    "Call": "call",
    "Email": "email",
    "EmailThread": "emailthread",
    "SMS": "sms",
    "WhatsAppMessage": "whatsapp_message",
    "Meeting": "meeting",
    "CustomActivity": "custom",
    "Created": "created",
    "FormSubmission": "form_submission",
    "LeadStatusChange": "status_change/lead",
    "OpportunityStatusChange": "status_change/opportunity",
    "LeadMerge": "lead_merge",
    "TaskCompleted": "task_completed",
    "ImportUpdate": "import_update",
}

_ACTIVITY_EVENT_TYPES: dict[str, str | None] = {
    "Note": "activity.note",
    "Call": "activity.call",
    "Email": "activity.email",
    "EmailThread": "activity.email_thread",
    "SMS": "activity.sms",
    "WhatsAppMessage": "activity.whatsapp_message",
    "Meeting": "activity.meeting",
    "CustomActivity": "activity.custom_activity",
    "Created": None,
    "FormSubmission": "activity.form_submission",
    "LeadStatusChange": "activity.lead_status_change",
    "OpportunityStatusChange": "activity.opportunity_status_change",
    "LeadMerge": "lead_merge",
    "TaskCompleted": "activity.task_completed",
    "ImportUpdate": "import",
}

# What `event_types_are_complete` adds: Close's documentation has no such events.
UNDOCUMENTED_EVENT_TYPES = {
    "Created": "activity.created",
    "ImportUpdate": "activity.import_update",
    "LeadMerge": "activity.lead_merge",
}

CUSTOM_FIELD_OBJECTS = ("lead", "contact", "opportunity", "activity", "custom_object_type", "shared")

TASK_TYPES = (
    "lead",
    "incoming_email",
    "email_followup",
    "missed_call",
    "answered_detached_call",
    "voicemail",
    "opportunity_due",
    "incoming_sms",
    "outgoing_call",
)
_REAL_TASK_TYPES = {"lead", "outgoing_call"}

KINDS: dict[str, Kind] = {
    "lead": Kind("lead", (), "lead"),
    "contact": Kind("cont", (), "contact"),
    "opportunity": Kind("oppo", (), "opportunity"),
    "task": Kind("task", ("task",), "task"),
    "user": Kind("user", ("user",)),
    # The list of all activities contains emails, but not their threads.
    **{
        name: _activity(path, _ACTIVITY_EVENT_TYPES[name], general=name != "EmailThread")
        for name, path in ACTIVITY_PATHS.items()
    },
    **{
        f"custom_field.{name}": Kind("cf", (f"custom_field/{name}",), f"custom_fields.{name.removesuffix('_type')}")
        for name in CUSTOM_FIELD_OBJECTS
    },
}


def task_prefix(task_type: str) -> str:
    """Return the id prefix of a task type: `task` for tasks that people create, `noti` for notifications."""
    return "task" if task_type in _REAL_TASK_TYPES else "noti"


def event_type(kind: str, object_type: str | None) -> str | None:
    """Return the event log's `object_type` for a kind and an object's `_type`; None if the kind has no events."""
    found = KINDS[kind].event_type
    return f"{found}.{object_type}" if found == "task" else found
