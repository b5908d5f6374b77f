"""Activities of every type: the columns on which something depends; the others are optional."""

from collections.abc import Callable

from .make_custom_fields import custom_values
from .maker import Maker
from .optional_columns import optional
from .records import Json
from .times import SECOND, iso, parse
from .world import Status, World

_SEQUENCE = "sequence_id sequence_name sequence_subscription_id"
_FINDINGS = """
    comment_summary conversation_type_id conversation_type_reason notetaker_id outcome_autofill_confidence
    outcome_autofill_reasoning outcome_id outcome_reason playbook_id playbook_reason
"""
_PHONES = """
    local_country_iso local_phone local_phone_formatted remote_country_iso remote_phone remote_phone_formatted cost
"""
# The columns of each type that no maker below sets.
_OPTIONAL = {
    "Note": "attachments comment_summary note_date_updated note_html note_mentions pinned pinned_at source title",
    "Call": f"""
        {_FINDINGS} {_PHONES} {_SEQUENCE} agent_config_id call_method coach_legs date_answered dialer_id
        dialer_saved_search_id direction disposition forwarded_to has_recording is_forwarded is_joinable
        is_to_group_number note_date_updated note_html note_mentions parent_meeting_id phone recording_duration
        recording_expires_at recording_history recording_url source status transferred_from transferred_from_user_id
        transferred_to transferred_to_user_id users voicemail_duration voicemail_url
    """,
    "Email": f"""
        attachments {_SEQUENCE} agent_action_reason agent_config_id ai_draft bcc body_html body_html_quoted
        body_preview body_text body_text_quoted bulk_email_action_id cc date_scheduled date_sent email_account_id
        envelope followup_sequence_add_cc_bcc followup_sequence_delay followup_sequence_id has_reply in_reply_to_id
        message_ids need_smtp_credentials opens opens_summary references send_as_id send_attempts sender subject
        template_id template_name to
    """,
    "SMS": f"""
        attachments {_SEQUENCE} {_PHONES} agent_action_reason agent_config_id date_scheduled date_sent error_message
        source template_id text
    """,
    "WhatsAppMessage": f"""
        attachments {_SEQUENCE} direction external_whatsapp_message_id integration_link integration_name local_phone
        local_phone_formatted message_html message_markdown remote_phone remote_phone_formatted response_to_id source
        text
    """,
    "Meeting": f"""
        {_FINDINGS} _paused_subscriptions actual_duration attached_call_ids attendees calendar_event_link
        calendar_event_uids conference_links connected_account_id integrations is_recurring location note
        provider_calendar_event_id provider_calendar_ids provider_calendar_type source summary title user_note
        user_note_date_updated user_note_html user_note_mentions
    """,
    "CustomActivity": "comment_summary last_published_at mentions mentions_updated_at pinned pinned_at source status",
    "Created": "import_id source",
    "FormSubmission": """
        form_configuration_id form_id form_name ip_address origin source_url source_url_normalized values
        values_by_name
    """,
    "LeadStatusChange": "_paused_subscriptions",
    "OpportunityStatusChange": """
        new_pipeline_id new_pipeline_name old_pipeline_id old_pipeline_name opportunity_confidence opportunity_date_won
        opportunity_value opportunity_value_currency opportunity_value_formatted opportunity_value_period
    """,
    "LeadMerge": "destination_display_name error_message merge_status source_display_name",
    "TaskCompleted": f"comment_summary {_SEQUENCE} task_assigned_to task_assigned_to_name task_id task_text",
    "ImportUpdate": "import_id reverted",
}


def activity(maker: Maker, world: World, kind: str, created: int, updated: int, given: Json) -> Json:
    """Return an activity; the stamps are in microseconds. `given` has the fields on which others may depend."""
    authors = world.authors(maker)
    base = {
        "_type": kind,
        "id": maker.id("acti"),
        "organization_id": world.organization_id,
        "lead_id": maker.pick(world.lead_ids) if world.lead_ids else None,
        "contact_id": maker.maybe(maker.id("cont"), 0.4),
        "user_id": authors["created_by"],
        "user_name": authors["created_by_name"],
        "users": [],
        **authors,
        "date_created": iso(created),
        "date_updated": iso(updated),
        "activity_at": iso(created),
    }
    base |= {name: given[name] for name in ("lead_id", "contact_id", "starts_at") if name in given}
    own = _OWN_COLUMNS[kind](maker, world, base) if kind in _OWN_COLUMNS else {}
    return base | optional(maker, "activities", _OPTIONAL.get(kind, "")) | own


def _email(maker: Maker, world: World, base: Json) -> Json:
    columns = _sent_or_received(maker, "incoming", "outgoing", ("sent", "sent", "draft", "scheduled", "error"))
    return {**columns, "thread_id": maker.id("acti")}


def _sms(maker: Maker, world: World, base: Json) -> Json:
    return _sent_or_received(maker, "inbound", "outbound", ("sent", "draft", "scheduled", "error"))


def _sent_or_received(maker: Maker, received: str, sent: str, statuses: tuple[str, ...]) -> Json:
    """Return the direction and the status of a message; half of all messages are received."""
    if maker.chance(0.5):
        return {"direction": received, "status": "inbox"}
    return {"direction": sent, "status": maker.pick(statuses)}


def _email_thread(maker: Maker, world: World, base: Json) -> Json:
    names = ("lead_id", "date_created", "date_updated")
    email = {"_type": "Email", "id": maker.id("acti"), **{name: base[name] for name in names}}
    return {"emails": [email], "latest_emails": [email]}


def _custom_activity(maker: Maker, world: World, base: Json) -> Json:
    type_id = maker.pick(world.activity_type_ids)
    fields = [one for one in world.fields_for("activity") if _is_of_type(one, type_id)]
    return {"custom_activity_type_id": type_id, **custom_values(maker, world, fields)}


def _lead_merge(maker: Maker, world: World, base: Json) -> Json:
    return {"source_lead_id": maker.id("lead"), "destination_lead_id": base["lead_id"]}


def _opportunity_status_change(maker: Maker, world: World, base: Json) -> Json:
    return {**_status_columns(maker, world.opportunity_statuses), "opportunity_id": maker.id("oppo")}


def _meeting(maker: Maker, world: World, base: Json) -> Json:
    start = parse(base.get("starts_at") or base["date_created"])
    duration = maker.pick((900, 1_800, 3_600))
    return {
        "status": "completed" if start < parse(base["date_updated"]) else "upcoming",
        "activity_at": iso(start),
        "starts_at": iso(start),
        "ends_at": iso(start + duration * SECOND),
        "duration": duration,
    }


def _is_of_type(field: Json, type_id: str) -> bool:
    """Return whether activities of a custom type may have a custom field."""
    links = field["associations"] if field["is_shared"] else [field]
    return any(link.get("custom_activity_type_id") == type_id for link in links)


def _status_columns(maker: Maker, statuses: list[Status]) -> Json:
    return maker.pick(statuses).columns("old") | maker.pick(statuses).columns("new")


# The columns of each type on which something depends, from the columns of all activities.
_OWN_COLUMNS: dict[str, Callable[[Maker, World, Json], Json]] = {
    "Note": lambda maker, world, base: {"note": maker.phrase()},
    "Call": lambda maker, world, base: {"duration": maker.number(0, 1_800), "note": maker.phrase()},
    "Email": _email,
    "EmailThread": _email_thread,
    "SMS": _sms,
    "Meeting": _meeting,
    "CustomActivity": _custom_activity,
    "LeadStatusChange": lambda maker, world, base: _status_columns(maker, world.lead_statuses),
    "OpportunityStatusChange": _opportunity_status_change,
    "LeadMerge": _lead_merge,
}
