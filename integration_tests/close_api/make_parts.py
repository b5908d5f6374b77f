"""Parts that objects of several kinds have."""

from typing import Any

from .maker import Maker
from .records import Json

_IN_SEQUENCE_SHARE = 0.3
_COMMENTED_SHARE = 0.3


def sequence(maker: Maker) -> Json:
    """Return the fields that name the sequence of an activity; most activities have none."""
    if not maker.chance(_IN_SEQUENCE_SHARE):
        return {"sequence_id": None, "sequence_name": None, "sequence_subscription_id": None}
    return {
        "sequence_id": maker.id("seq"),
        "sequence_name": "Première prise de contact",
        "sequence_subscription_id": maker.id("sub"),
    }


def comment_summary(maker: Maker) -> Json | None:
    """Return the summary of an object's comments, or None if it has no comments."""
    if not maker.chance(_COMMENTED_SHARE):
        return None
    return {"thread_id": maker.id("commthread"), "comment_count": maker.number(1, 9)}


def attachments(maker: Maker, share: float = 0.3, **fields: Any) -> list[Json]:
    """Return one file in about `share` of all calls, otherwise no file; `fields` are added to it."""
    if not maker.chance(share):
        return []
    file = {
        "content_type": "application/pdf",
        "filename": "offer é.pdf",
        "size": 20_480,
        "thumbnail_url": maker.maybe("https://files.example/offer.png"),
        "url": "https://files.example/offer.pdf",
    }
    return [file | fields]


def paused_subscriptions(maker: Maker) -> list[Json]:
    """Return the sequence run that a change of status or a meeting has paused; most have paused none."""
    if not maker.chance(_IN_SEQUENCE_SHARE):
        return []
    run = {
        "id": maker.id("sub"),
        "contact_id": maker.id("cont"),
        "contact_name": "Zoë Nováková",
        "sequence_id": maker.id("seq"),
        "sequence_name": "Première prise de contact",
        "sequence_status": "active",
    }
    return [run]
