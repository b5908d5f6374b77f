"""Random changes of all kinds."""

from integration_tests.close_api import Store

_LATE_NOTE = "Edited later ✏️"


def change_something(store: Store, count: int) -> dict[str, list[str]]:
    """Make `count` changes; return ids under `added`, `edited`, `completed`, `deleted` and `merged` (source leads)."""
    done: dict[str, list[str]] = {"added": [], "edited": [], "completed": [], "deleted": [], "merged": []}
    changes = (_add, _edit_note, _edit_lead, _complete_task, _delete_activity, _merge)
    with store.lock:
        for number in range(count):
            changes[number % len(changes)](store, done)
    return done


def _pick(store: Store, collection: str) -> str | None:
    ids = list(store.collections[collection].records)
    return store.factory.maker.pick(ids) if ids else None


def _add(store: Store, done: dict[str, list[str]]) -> None:
    kind = store.factory.maker.pick(("lead", "task", "Note", "Email", "Meeting"))
    done["added"].append(store.add(kind)["id"])


def _edit_note(store: Store, done: dict[str, list[str]]) -> None:
    note_id = _pick(store, "activity/note")
    if note_id is not None:
        store.edit(note_id, note=_LATE_NOTE)
        done["edited"].append(note_id)


def _edit_lead(store: Store, done: dict[str, list[str]]) -> None:
    if store.leads.visible.records:
        lead_id = store.factory.maker.pick(store.factory.world.lead_ids)
        store.edit(lead_id, status_id=store.factory.maker.pick(store.factory.world.lead_statuses).id)
        done["edited"].append(lead_id)


def _complete_task(store: Store, done: dict[str, list[str]]) -> None:
    task_id = _pick(store, "task")
    if task_id is not None and not store.get(task_id)["is_complete"]:
        done["added"].append(store.complete_task(task_id)["id"])
        done["completed"].append(task_id)


def _delete_activity(store: Store, done: dict[str, list[str]]) -> None:
    activity_id = _pick(store, "activity")
    if activity_id is not None:
        store.delete(activity_id)
        done["deleted"].append(activity_id)


def _merge(store: Store, done: dict[str, list[str]]) -> None:
    leads = store.factory.world.lead_ids
    if len(leads) > 1:
        source, destination = store.factory.maker.random.sample(leads, 2)
        done["added"].append(store.merge(source, destination)["id"])
        done["merged"].append(source)
