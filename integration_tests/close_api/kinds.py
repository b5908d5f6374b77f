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


# The path of each type of activities, and its `object_type` in the event log.
_ACTIVITIES = {
    "Note": ("note", "activity.note"),
    "Call": ("call", "activity.call"),
    "Email": ("email", "activity.email"),
    "EmailThread": ("emailthread", "activity.email_thread"),
    "SMS": ("sms", "activity.sms"),
    "WhatsAppMessage": ("whatsapp_message", "activity.whatsapp_message"),
    "Meeting": ("meeting", "activity.meeting"),
    "CustomActivity": ("custom", "activity.custom_activity"),
    "Created": ("created", None),
    "FormSubmission": ("form_submission", "activity.form_submission"),
    "LeadStatusChange": ("status_change/lead", "activity.lead_status_change"),
    "OpportunityStatusChange": ("status_change/opportunity", "activity.opportunity_status_change"),
    "LeadMerge": ("lead_merge", "lead_merge"),
    "TaskCompleted": ("task_completed", "activity.task_completed"),
    "ImportUpdate": ("import_update", "import"),
}
ACTIVITY_PATHS = {name: path for name, (path, _) in _ACTIVITIES.items()}

# What `event_types_are_complete` adds: Close's documentation has no such events.
UNDOCUMENTED_EVENT_TYPES = {
    "Created": "activity.created",
    "ImportUpdate": "activity.import_update",
    "LeadMerge": "activity.lead_merge",
}

CUSTOM_FIELD_OBJECTS = ("lead", "contact", "opportunity", "activity", "custom_object_type", "shared")

_REAL_TASK_TYPES = {"lead", "outgoing_call"}

KINDS: dict[str, Kind] = {
    "lead": Kind("lead", (), "lead"),
    "contact": Kind("cont", (), "contact"),
    "opportunity": Kind("oppo", (), "opportunity"),
    "task": Kind("task", ("task",), "task"),
    "user": Kind("user", ("user",)),
    **{
        name: Kind("acti", ("activity", f"activity/{path}"), event_type)
        for name, (path, event_type) in _ACTIVITIES.items()
    },
    # The list of all activities contains emails, but not their threads.
    "EmailThread": Kind("acti", ("activity/emailthread",), "activity.email_thread"),
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
