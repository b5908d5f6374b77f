"""Custom fields of all six lists, and their values."""

from collections.abc import Callable
from typing import Any

from .maker import Maker
from .optional_columns import optional
from .records import Json
from .times import MILLISECOND, iso
from .world import World

FIELD_TYPES = (
    "text",
    "number",
    "date",
    "datetime",
    "choices",
    "user",
    "contact",
    "custom_object",
    "textarea",
    "hidden",
)
_MULTIPLE_TYPES = {"choices", "user", "contact", "custom_object", "text"}
_OPTIONAL = "always_visible back_reference_is_visible description enrichment_enabled enrichment_options"
_FILLED_SHARE = 0.4
_CHOICES = ("Web", "Referral", "Événement", "Other 🤷")


def custom_field(maker: Maker, world: World, object_type: str, number: int, created: int, updated: int) -> Json:
    """Return the `number`th custom field of a list; the number decides its type and multiplicity, so that all occur."""
    field_type = FIELD_TYPES[number % len(FIELD_TYPES)]
    multiple = field_type in _MULTIPLE_TYPES and (number // len(FIELD_TYPES)) % 2 == 1
    is_shared = object_type == "shared"
    one: Json = {
        "id": maker.id("lcf" if object_type == "lead" and maker.chance(0.1) else "cf"),
        "name": f"{object_type} {field_type} {number} – é",
        "type": field_type,
        "choices": list(_CHOICES) if field_type == "choices" else None,
        "accepts_multiple_values": multiple,
        "is_shared": is_shared,
        "editable_with_roles": ["admin"] if maker.chance(0.2) else [],
        **optional(maker, "custom_fields", _OPTIONAL),
        "referenced_custom_type_id": world.object_type_ids[0] if field_type == "custom_object" else None,
        "organization_id": world.organization_id,
        "created_by": world.me.id,
        "updated_by": maker.maybe(world.me.id),
        "date_created": iso(created),
        "date_updated": iso(updated),
    }
    if object_type == "activity":
        one |= {"custom_activity_type_id": maker.pick(world.activity_type_ids), "required": maker.chance(0.2)}
    elif object_type == "custom_object_type":
        one |= {"custom_object_type_id": maker.pick(world.object_type_ids), "required": maker.chance(0.2)}
    elif is_shared:
        one["associations"] = _associations(world, number)
    return one


def _associations(world: World, number: int) -> list[Json]:
    rest: Json = {"required": False, "editable_with_roles": ["admin"] if number % 2 else []}
    targets = ("lead", "contact", "opportunity", "custom_activity_type", "custom_object_type")
    links: list[Json] = []
    for target in (targets[number % len(targets)], targets[(number + 1) % len(targets)]):
        link = {"object_type": target, **rest}
        if target == "custom_activity_type":
            link["custom_activity_type_id"] = world.activity_type_ids[0]
        elif target == "custom_object_type":
            link["custom_object_type_id"] = world.object_type_ids[0]
        links.append(link)
    return links


def custom_values(maker: Maker, world: World, fields: list[Json]) -> Json:
    """Return `custom.<id>` keys for about two fifths of the fields; a field without a value has no key."""
    return {f"custom.{one['id']}": _value(maker, world, one) for one in fields if maker.chance(_FILLED_SHARE)}


def _value(maker: Maker, world: World, one: Json) -> Any:
    make = _VALUE_MAKERS.get(one["type"], _phrase)
    if one["accepts_multiple_values"]:
        # Two values, or one if they are equal.
        return list(dict.fromkeys((make(maker, world), make(maker, world))))
    return make(maker, world)


def _phrase(maker: Maker, _: World) -> str:
    return maker.phrase()


_VALUE_MAKERS: dict[str, Callable[[Maker, World], str | float]] = {
    "number": lambda maker, _: maker.pick((maker.number(-5, 5_000), maker.number(0, 999) / 4)),
    "date": lambda maker, _: maker.date(maker.day()),
    "datetime": lambda maker, _: iso(maker.day() + maker.number(0, 86_399_999) * MILLISECOND),
    "choices": lambda maker, _: maker.pick(_CHOICES),
    "user": lambda maker, world: maker.pick(world.people).id,
    "contact": lambda maker, _: maker.id("cont"),
    "custom_object": lambda maker, _: maker.id("coi"),
}
