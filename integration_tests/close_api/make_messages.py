"""Emails, email threads, SMS and WhatsApp messages."""

from .make_parts import attachments, sequence
from .maker import Maker, formatted_phone
from .records import Json
from .world import World

_SUBJECTS = ("pricing", "your demo", "Angebot für Müller", "à propos de l'offre", "re: contract ✍️", "")
_EMAIL_WORDS = ("thanks", "for", "the", "offer", "we", "would", "like", "to", "know", "more", "about", "déploiement")
_SHARE = 0.3


def _body(maker: Maker) -> str:
    return " ".join(maker.pick(_EMAIL_WORDS) for _ in range(25))


def _email(maker: Maker, world: World, base: Json) -> Json:
    incoming = maker.chance(0.5)
    first, last = maker.person()
    outside = {"name": f"{first} {last}", "email": f"contact{maker.number(1, 999)}@client.example"}
    inside = {"name": world.me.name, "email": world.me.email}
    sender, receiver = (outside, inside) if incoming else (inside, outside)
    status = "inbox" if incoming else maker.pick(("sent", "sent", "draft", "scheduled", "error"))
    was_sent = status in {"inbox", "sent"}
    subject = maker.pick(_SUBJECTS)
    text = _body(maker)
    message_id = f"<{base['id']}@mail.example>"
    copied = [inside] if maker.chance(_SHARE) else []
    copied_addresses = [person["email"] for person in copied]
    is_answer = maker.chance(_SHARE)
    envelope = {
        "from": [sender],
        "sender": [sender],
        "to": [receiver],
        "cc": copied,
        "bcc": copied,
        "reply_to": copied,
        "date": base["date_created"],
        "subject": subject,
        "message_id": message_id,
        "in_reply_to": "<first@mail.example>" if is_answer else None,
        "is_autoreply": False,
    }
    was_opened = maker.chance(0.2)
    has_template = maker.chance(_SHARE)
    is_followed = maker.chance(_SHARE)
    return {
        "direction": "incoming" if incoming else maker.maybe("outgoing", 0.98),
        "status": status,
        "subject": maker.maybe(subject, 0.97),
        "sender": f'"{sender["name"]}" <{sender["email"]}>',
        "to": [receiver["email"]],
        "cc": copied_addresses,
        "bcc": copied_addresses,
        "envelope": envelope if was_sent else None,
        "body_text": text,
        "body_html": f"<p>{text}</p>",
        "body_text_quoted": [{"expand": False, "text": text}],
        "body_html_quoted": maker.maybe([{"expand": True, "html": f"<p>{text}</p>"}]),
        "body_preview": text[:50],
        "attachments": attachments(maker, content_id="image1", inline_only=False),
        "date_sent": base["date_created"] if was_sent else None,
        "date_scheduled": base["date_updated"] if status == "scheduled" else None,
        "email_account_id": maker.maybe(f"emailacct_{world.me.id[5:]}", 0.8),
        "send_as_id": maker.maybe(maker.id("sendas"), _SHARE),
        "thread_id": maker.id("acti"),
        "message_ids": [message_id],
        "references": ["<first@mail.example>"] if is_answer else [],
        "in_reply_to_id": maker.id("acti") if is_answer else None,
        "has_reply": maker.chance(0.3),
        "opens": [_open(base, outside["email"])] if was_opened else [],
        "opens_summary": "Opened 1 time" if was_opened else None,
        "send_attempts": [_failed_attempt(base)] if status == "error" else [],
        "need_smtp_credentials": False,
        "template_id": maker.id("tmpl") if has_template else None,
        "template_name": "Suivi" if has_template else None,
        "bulk_email_action_id": maker.maybe(maker.id("bulkemail"), _SHARE),
        **sequence(maker),
        "followup_sequence_id": maker.id("seq") if is_followed else None,
        "followup_sequence_delay": 86_400 if is_followed else None,
        "followup_sequence_add_cc_bcc": False,
        "ai_draft": maker.maybe("Dear …", 0.2),
        **_agent(maker),
    }


def _open(base: Json, opened_by: str) -> Json:
    return {
        "opened_at": base["date_updated"],
        "opened_by": opened_by,
        "ip_address": "192.0.2.8",
        "user_agent": "Mail/1.0",
    }


def _failed_attempt(base: Json) -> Json:
    return {"date": base["date_updated"], "error_class": "SMTPError", "error_message": "The mailbox is full"}


def _agent(maker: Maker) -> Json:
    """Return the fields that name the AI agent behind a message; most messages have none."""
    if not maker.chance(_SHARE):
        return {"agent_config_id": None, "agent_action_reason": None}
    return {"agent_config_id": maker.id("agentconf"), "agent_action_reason": "No answer for a week"}


def _email_thread(maker: Maker, world: World, base: Json) -> Json:
    slim = {
        "_type": "Email",
        "id": maker.id("acti"),
        "lead_id": base["lead_id"],
        "subject": "pricing",
        "date_created": base["date_created"],
        "date_updated": base["date_updated"],
    }
    return {
        "latest_normalized_subject": maker.pick(_SUBJECTS),
        "n_emails": 1,
        "participants": [{"name": world.me.name, "email": world.me.email}],
        "emails": [slim],
        "latest_emails": [slim],
    }


def _sms(maker: Maker, _: World, base: Json) -> Json:
    inbound = maker.chance(0.5)
    local, remote = maker.phone(), maker.phone()
    status = "inbox" if inbound else maker.pick(("sent", "draft", "scheduled", "error"))
    failed = status == "error"
    return {
        "direction": "inbound" if inbound else "outbound",
        "status": status,
        "text": maker.maybe(maker.phrase(), 0.95),
        "local_phone": local,
        "local_phone_formatted": formatted_phone(local),
        "local_country_iso": "US",
        "remote_phone": remote,
        "remote_phone_formatted": formatted_phone(remote),
        "remote_country_iso": "US",
        "cost": maker.maybe("1.5", 0.5),
        "date_sent": base["date_created"] if status in {"inbox", "sent"} else None,
        "date_scheduled": base["date_updated"] if status == "scheduled" else None,
        "source": maker.pick(("Close.io", "External")),
        "template_id": maker.maybe(maker.id("tmpl"), _SHARE),
        "error_message": "Unreachable" if failed else None,
        "attachments": attachments(maker, media_id=maker.id("media")),
        **sequence(maker),
        **_agent(maker),
    }


def _whatsapp_message(maker: Maker, _: World, base: Json) -> Json:
    local, remote = maker.phone(), maker.phone()
    text = maker.phrase()
    linked = maker.chance(0.5)
    return {
        "external_whatsapp_message_id": f"wamid.{base['id']}",
        "direction": maker.pick(("incoming", "outgoing")),
        "message_markdown": f"*{text}*",
        "message_html": f"<p><b>{text}</b></p>",
        "text": text,
        "local_phone": local,
        "local_phone_formatted": formatted_phone(local),
        "remote_phone": remote,
        "remote_phone_formatted": formatted_phone(remote),
        "response_to_id": maker.maybe(maker.id("acti"), _SHARE),
        "integration_name": "Chat bridge" if linked else None,
        "integration_link": "https://chat.example/1" if linked else None,
        "source": maker.pick(("api", "whatsapp")),
        "attachments": attachments(maker),
        **sequence(maker),
    }


MESSAGE_MAKERS = {
    "Email": _email,
    "EmailThread": _email_thread,
    "SMS": _sms,
    "WhatsAppMessage": _whatsapp_message,
}
