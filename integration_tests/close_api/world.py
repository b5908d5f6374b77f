"""What the generated objects refer to: the organization, its statuses, people, custom fields and leads."""

from dataclasses import dataclass, field

from .maker import Maker
from .records import Json

_LEAD_STATUSES = ("Potential", "Qualified", "Bad Fit", "Customer")
_OPPORTUNITY_STATUSES = (("Active", "active"), ("Won", "won"), ("Lost", "lost"), ("Négociation", "active"))
_ACTIVITY_TYPES = 3


@dataclass(frozen=True)
class Status:
    """A lead or opportunity status; only those of opportunities have a type."""

    id: str
    label: str
    type: str | None = None

    def columns(self, place: str) -> Json:
        """Return the columns of a status change in which this status has the place `old` or `new`."""
        columns = {f"{place}_status_id": self.id, f"{place}_status_label": self.label}
        return columns if self.type is None else {**columns, f"{place}_status_type": self.type}


@dataclass(frozen=True)
class Person:
    """A user as other objects refer to it."""

    id: str
    name: str
    email: str


@dataclass
class World:
    """The references that all objects share; it grows while objects are created."""

    organization_id: str
    pipeline_id: str
    lead_statuses: list[Status]
    opportunity_statuses: list[Status]
    activity_type_ids: list[str]
    object_type_ids: list[str]
    people: list[Person]
    lead_ids: list[str] = field(default_factory=list)
    custom_fields: dict[str, list[Json]] = field(default_factory=dict)

    @classmethod
    def made_by(cls, maker: Maker) -> "World":
        """Return an organization with one person, the owner of the API key."""
        return cls(
            organization_id=maker.id("orga"),
            pipeline_id=maker.id("pipe"),
            lead_statuses=[Status(maker.id("stat"), label) for label in _LEAD_STATUSES],
            opportunity_statuses=[Status(maker.id("stat"), label, kind) for label, kind in _OPPORTUNITY_STATUSES],
            activity_type_ids=[maker.id("actitype") for _ in range(_ACTIVITY_TYPES)],
            object_type_ids=[maker.id("cotype") for _ in range(2)],
            people=[Person(maker.id("user"), "Ana Ruiz", "ana@sales.example")],
        )

    @property
    def me(self) -> Person:
        """Return the owner of the API key."""
        return self.people[0]

    def authors(self, maker: Maker) -> Json:
        """Return who created and who last edited an object."""
        author = maker.maybe(maker.pick(self.people), 0.9)
        editor = maker.maybe(maker.pick(self.people), 0.7)
        return {
            "created_by": author.id if author else None,
            "created_by_name": author.name if author else None,
            "updated_by": editor.id if editor else None,
            "updated_by_name": editor.name if editor else None,
        }

    def fields_for(self, object_type: str) -> list[Json]:
        """Return the custom fields that an object may have, shared fields included; `activity` covers all its types."""
        shared = [one for one in self.custom_fields.get("shared", []) if is_shared_with(one, object_type)]
        return self.custom_fields.get(object_type, []) + shared

    def status(self, status_id: str) -> Status:
        return next(one for one in self.lead_statuses if one.id == status_id)


def is_shared_with(shared_field: Json, object_type: str) -> bool:
    """Return whether objects of a type may have a shared custom field."""
    target = "custom_activity_type" if object_type == "activity" else object_type
    return any(link["object_type"] == target for link in shared_field["associations"])
