"""Calls and meetings."""

from .make_parts import comment_summary, paused_subscriptions, sequence
from .maker import Maker, formatted_phone
from .records import Json
from .times import HOUR, SECOND, iso, parse
from .world import World

_SHARE = 0.3


def _findings(maker: Maker) -> Json:
    """Return what people and Close's AI have noted about a conversation."""
    is_rated = maker.chance(_SHARE)
    is_rated_by_close = is_rated and maker.chance(0.5)
    has_playbook = maker.chance(_SHARE)
    return {
        "comment_summary": comment_summary(maker),
        "conversation_type_id": maker.id("convtype") if has_playbook else None,
        "conversation_type_reason": "A first talk" if has_playbook else None,
        "notetaker_id": maker.maybe(maker.id("notetaker"), _SHARE),
        "outcome_autofill_confidence": maker.pick(("low", "medium", "high")) if is_rated_by_close else None,
        "outcome_autofill_reasoning": "They asked for the contract" if is_rated_by_close else None,
        "outcome_id": maker.id("outcome") if is_rated else None,
        "outcome_reason": "They agreed" if is_rated else None,
        "playbook_id": maker.id("playbook") if has_playbook else None,
        "playbook_reason": "The lead is new" if has_playbook else None,
    }


def _history(start: str, end: str) -> list[Json]:
    return [{"action": "start", "timestamp": start}, {"action": "stop", "timestamp": end}]


def _recording(maker: Maker, base: Json, duration: int) -> Json:
    if not maker.chance(_SHARE):
        return {
            "has_recording": False,
            "recording_duration": None,
            "recording_expires_at": None,
            "recording_history": [],
            "recording_url": None,
        }
    start = parse(base["date_created"])
    return {
        "has_recording": True,
        "recording_duration": duration,
        "recording_expires_at": iso(start + 24 * HOUR),
        "recording_history": _history(iso(start), iso(start + duration * SECOND)),
        "recording_url": f"https://files.example/{base['id']}.mp3",
    }


def _transfers(maker: Maker, world: World) -> Json:
    names = ("transferred_from", "transferred_from_user_id", "transferred_to", "transferred_to_user_id")
    if not maker.chance(_SHARE):
        return dict.fromkeys(names)
    return {
        "transferred_from": maker.phone(),
        "transferred_from_user_id": world.me.id,
        "transferred_to": maker.phone(),
        "transferred_to_user_id": maker.pick(world.people).id,
    }


def _coach_legs(maker: Maker, world: World, base: Json, duration: int) -> list[Json]:
    if not maker.chance(_SHARE):
        return []
    start = base["date_created"]
    end = iso(parse(start) + duration * SECOND)
    leg = {
        "user_id": world.me.id,
        "status": "completed",
        "date_created": start,
        "date_connected": start,
        "date_done": end,
        "participation_history": _history(start, end),
    }
    return [leg]


def call(maker: Maker, world: World, base: Json) -> Json:
    """Return the fields of a call."""
    remote, local = maker.phone(), maker.maybe(maker.phone(), 0.8)
    duration = maker.number(0, 1_800)
    answered = maker.chance(0.6)
    is_forwarded = maker.chance(_SHARE)
    is_dialed = maker.chance(_SHARE)
    has_voicemail = not answered and maker.chance(0.5)
    note = maker.maybe(maker.phrase())
    return {
        "agent_config_id": maker.maybe(maker.id("agentconf"), _SHARE),
        "direction": maker.pick(("inbound", "outbound")),
        "status": maker.pick(("completed", "no-answer", "busy", "failed")),
        "disposition": maker.maybe("answered" if answered else "no-answer", 0.9),
        "duration": duration,
        "cost": maker.maybe(str(duration // 60 + 1), 0.6),
        "source": maker.pick(("Close.io", "External")),
        "call_method": "power" if is_dialed else "regular",
        "phone": remote,
        "local_phone": local,
        "local_phone_formatted": formatted_phone(local) if local else None,
        "local_country_iso": "US" if local else "",
        "remote_phone": remote,
        "remote_phone_formatted": formatted_phone(remote),
        "remote_country_iso": "US",
        "note": note,
        "note_date_updated": base["date_updated"] if note else None,
        "note_html": f"<body><p>{note}</p></body>" if note else None,
        "note_mentions": [world.me.id] if note and maker.chance(_SHARE) else [],
        "parent_meeting_id": maker.maybe(maker.id("acti"), _SHARE),
        "voicemail_url": "https://files.example/voicemail.mp3" if has_voicemail else None,
        "voicemail_duration": maker.number(1, 90) if has_voicemail else 0,
        "date_answered": base["date_created"] if answered else None,
        "is_forwarded": is_forwarded,
        "forwarded_to": maker.phone() if is_forwarded else None,
        "is_joinable": False,
        "is_to_group_number": False,
        "coach_legs": _coach_legs(maker, world, base, duration),
        "dialer_id": maker.id("dialer") if is_dialed else None,
        "dialer_saved_search_id": maker.id("save") if is_dialed else None,
        "users": [world.me.id] if maker.chance(0.2) else [],
        **_recording(maker, base, duration),
        **_transfers(maker, world),
        **_findings(maker),
        **sequence(maker),
    }


def _integration(maker: Maker, world: World, start: int, duration: int) -> Json:
    entry_id = maker.id("evtint")
    begin, end = iso(start), iso(start + duration * SECOND)
    artifact = {
        "id": maker.id("evtart"),
        "organization_id": world.organization_id,
        "event_integration_id": entry_id,
        "artifact_type": "recording",
        "artifact_data": {"url": "https://meet.example/recording"},
        "created_at": end,
        "updated_at": end,
    }
    return {
        "id": entry_id,
        "organization_id": world.organization_id,
        "event_occurrence_id": maker.id("evtocc"),
        "integration_name": "zoom",
        "integration_object_id": str(maker.number(1_000_000, 9_999_999)),
        "created_at": begin,
        "integration_data": {
            "duration": duration / 60,
            "start_time": begin,
            "end_time": end,
            "participants": [{"name": world.me.name, "zoom_id": "16778240"}],
            "processing_status": "completed",
            "zoom_account_id": "made-up-account",
            "zoom_uuid": "abcd==",
        },
        "artifacts": [artifact],
    }


def meeting(maker: Maker, world: World, base: Json) -> Json:
    """Return the fields of a meeting."""
    start = parse(base.get("starts_at") or base["date_created"])
    duration = maker.pick((900, 1_800, 3_600))
    guest = {
        "name": maker.maybe("Hiroko Đặng"),
        "email": "guest@client.example",
        "contact_id": base["contact_id"],
        "user_id": None,
    }
    host = {"name": world.me.name, "email": world.me.email, "contact_id": None, "user_id": world.me.id}
    is_over = start < parse(base["date_updated"])
    user_note = maker.maybe(maker.phrase(), _SHARE)
    summary = maker.maybe(maker.phrase(), _SHARE)
    return {
        "_paused_subscriptions": paused_subscriptions(maker),
        "title": maker.pick(("Demo", "Dégustation ☕", "Quarterly review")),
        "status": "completed" if is_over else "upcoming",
        "activity_at": iso(start),
        "starts_at": iso(start),
        "ends_at": iso(start + duration * SECOND),
        "duration": duration,
        "actual_duration": duration + 60 if is_over else None,
        "location": maker.maybe("Room 3"),
        "note": maker.phrase(),
        "user_note": user_note,
        "user_note_html": f"<body><p>{user_note}</p></body>" if user_note else None,
        "user_note_mentions": [world.me.id] if user_note else [],
        "user_note_date_updated": base["date_updated"] if user_note else None,
        "attendees": [
            {**host, "is_organizer": True, "status": "yes"},
            {**guest, "is_organizer": False, "status": maker.pick(("noreply", "yes", "no", "maybe"))},
        ],
        "calendar_event_link": "https://calendar.example/event",
        "calendar_event_uids": [f"{base['id']}@calendar.example"],
        "provider_calendar_event_id": f"event-{base['id']}",
        "provider_calendar_ids": [world.me.email],
        "provider_calendar_type": maker.pick(("google", "microsoft")),
        "connected_account_id": maker.maybe(maker.id("emailacct")),
        "conference_links": [{"type": "zoom", "url": "https://meet.example/1"}] if maker.chance(0.5) else [],
        "integrations": [_integration(maker, world, start, duration)] if maker.chance(_SHARE) else [],
        "is_recurring": maker.chance(0.2),
        "source": "calendar",
        "summary": {"html": f"<p>{summary}</p>", "text": summary} if summary else None,
        "attached_call_ids": [maker.id("acti")] if maker.chance(_SHARE) else [],
        **_findings(maker),
    }


CONVERSATION_MAKERS = {"Call": call, "Meeting": meeting}
