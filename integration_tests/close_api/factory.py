"""A factory for objects of every kind: the same seed and the same calls give the same objects."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from .make_activities import activity
from .make_custom_fields import custom_field
from .make_leads import contact, lead, opportunity
from .make_tasks import TASK_TYPES, task
from .make_users import user
from .maker import Maker
from .records import Json
from .times import MILLISECOND, parse
from .world import World

_BACK_DATED_SHARE = 0.03


@dataclass(frozen=True)
class Period:
    """When objects are created and edited: microseconds from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int


class Factory:
    """Creates the JSON of objects; `world` contains what the objects can refer to."""

    def __init__(self, seed: int) -> None:
        self.maker = Maker(seed)
        self.world = World.made_by(self.maker)
        self._numbers = defaultdict[str, Iterator[int]](count)

    def make(self, kind: str, period: Period, fields: Json) -> Json:
        """Return a new object of a kind of `kinds.py`, created in `period`; `fields` replace generated values."""
        maker = self.maker
        world = self.world
        created = parse(fields["date_created"]) if "date_created" in fields else maker.stamp(period.start, period.end)
        if "date_updated" in fields:
            updated = parse(fields["date_updated"])
        elif maker.chance(_BACK_DATED_SHARE):
            updated = max(created, period.end - MILLISECOND)
        else:
            updated = maker.later(created, period.end)
        match kind:
            case "lead":
                data = lead(maker, world, created, updated)
            case "contact":
                data = contact(maker, world, fields.get("lead_id"), created, updated)
            case "opportunity":
                data = opportunity(maker, world, fields.get("lead_id"), created, updated)
            case "task":
                task_type = fields.get("_type") or TASK_TYPES[next(self._numbers[kind]) % len(TASK_TYPES)]
                data = task(maker, world, task_type, created, updated)
            case "user":
                data = user(maker, world, next(self._numbers[kind]), created, updated)
            case _ if kind.startswith("custom_field."):
                object_type = kind.removeprefix("custom_field.")
                data = custom_field(maker, world, object_type, next(self._numbers[kind]), created, updated)
            case _:
                data = activity(maker, world, kind, created, updated, fields)
        data |= fields
        self._remember(kind, data)
        return data

    def _remember(self, kind: str, data: Json) -> None:
        if kind == "lead":
            self.world.lead_ids.append(data["id"])
        elif kind.startswith("custom_field."):
            self.world.custom_fields.setdefault(kind.removeprefix("custom_field."), []).append(data)
