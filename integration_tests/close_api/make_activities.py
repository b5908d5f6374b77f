"""Activities of every type except calls, meetings and messages."""

from collections.abc import Callable

from .make_conversations import CONVERSATION_MAKERS
from .make_custom_fields import custom_values
from .make_messages import MESSAGE_MAKERS
from .make_parts import attachments, comment_summary, paused_subscriptions, sequence
from .maker import Maker
from .records import Json
from .times import DAY, iso, parse
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
    return {
        "comment_summary": comment_summary(maker),
        "note": text,
        "note_date_updated": base["date_updated"],
        "note_html": f"<body><p>{text}</p></body>",
        "note_mentions": [world.me.id] if maker.chance(0.2) else [],
        "attachments": attachments(maker, 0.2),
        "pinned": pinned,
        "pinned_at": base["date_updated"] if pinned else None,
        "title": maker.maybe("Résumé", 0.3),
        "source": None,
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
    pinned = maker.chance(0.3)
    has_mention = maker.chance(0.3)
    return {
        "comment_summary": comment_summary(maker),
        "custom_activity_type_id": type_id,
        "status": "published" if published else "draft",
        "last_published_at": base["date_updated"] if published else None,
        "pinned": pinned,
        "pinned_at": base["date_updated"] if pinned else None,
        "source": None,
        "mentions": [world.me.id] if has_mention else [],
        "mentions_updated_at": base["date_updated"] if has_mention else None,
        **custom_values(maker, world, fields),
    }


def _created(maker: Maker, _: World, __: Json) -> Json:
    source = maker.pick(("ui", "api", "import", None))
    return {"source": source, "import_id": maker.id("impo") if source == "import" else None}


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
        "_paused_subscriptions": paused_subscriptions(maker),
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
    failed = maker.chance(0.2)
    return {
        "source_lead_id": maker.id("lead"),
        "destination_lead_id": base["lead_id"],
        "source_display_name": "Café Olé (old)",
        "destination_display_name": "Café Olé",
        "merge_status": "errored" if failed else "completed",
        "error_message": "The lead is in use" if failed else None,
    }


def _task_completed(maker: Maker, world: World, __: Json) -> Json:
    return {
        "comment_summary": comment_summary(maker),
        "task_id": maker.id("task"),
        "task_text": maker.phrase(),
        "task_assigned_to": world.me.id,
        "task_assigned_to_name": world.me.name,
        **sequence(maker),
    }


def _import_update(maker: Maker, _: World, __: Json) -> Json:
    return {"import_id": maker.id("impo"), "reverted": maker.chance(0.1)}


ACTIVITY_MAKERS: dict[str, ActivityMaker] = {
    "Note": _note,
    **CONVERSATION_MAKERS,
    **MESSAGE_MAKERS,
    "CustomActivity": _custom_activity,
    "Created": _created,
    "FormSubmission": _form_submission,
    "LeadStatusChange": _lead_status_change,
    "OpportunityStatusChange": _opportunity_status_change,
    "LeadMerge": _lead_merge,
    "TaskCompleted": _task_completed,
    "ImportUpdate": _import_update,
}
