"""Users."""

from .maker import Maker
from .optional_columns import optional
from .records import Json
from .times import iso
from .world import Person, World


def user(maker: Maker, world: World, number: int, created: int, updated: int) -> Json:
    """Return the `number`th user, with stamps in microseconds; user 0 is the owner of the API key."""
    if number == 0:
        person = world.me
    else:
        person = Person(maker.id("user"), maker.full_name(), f"user{number}@sales.example")
        world.people.append(person)
    first, last = person.name.split(" ")
    return {
        "id": person.id,
        "first_name": first,
        "last_name": last,
        "email": person.email,
        **optional(maker, "users", "image google_profile_image_url last_used_timezone email_verified_at", share=0.7),
        "organizations": [world.organization_id],
        "date_created": iso(created),
        "date_updated": iso(updated),
    }
