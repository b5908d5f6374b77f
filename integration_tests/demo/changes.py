"""Random changes of all kinds, of an account that has records of all kinds."""

from collections import Counter

from integration_tests.close_api import Store


def change_something(store: Store, count: int) -> Counter[str]:
    """Make `count` changes; return how many records were added, edited, completed, deleted and merged."""
    done = Counter[str]()
    changes = (_add, _edit_note, _edit_lead, _complete_task, _delete_activity, _merge)
    with store.lock:
        for number in range(count):
            done.update(changes[number % len(changes)](store))
    return done


def _pick(store: Store, collection: str) -> str:
    return store.factory.maker.pick(list(store.collections[collection].records))


def _add(store: Store) -> list[str]:
    store.add(store.factory.maker.pick(("lead", "task", "Note", "Email", "Meeting")))
    return ["added"]


def _edit_note(store: Store) -> list[str]:
    store.edit(_pick(store, "activity/note"), note="Edited later ✏️")
    return ["edited"]


def _edit_lead(store: Store) -> list[str]:
    lead_id = store.factory.maker.pick(store.factory.world.lead_ids)
    store.edit(lead_id, status_id=store.factory.maker.pick(store.factory.world.lead_statuses).id)
    return ["edited"]


def _complete_task(store: Store) -> list[str]:
    task_id = _pick(store, "task")
    if store.get(task_id)["is_complete"]:
        return []
    store.complete_task(task_id)
    return ["added", "completed"]


def _delete_activity(store: Store) -> list[str]:
    store.delete(_pick(store, "activity"))
    return ["deleted"]


def _merge(store: Store) -> list[str]:
    source, destination = store.factory.maker.random.sample(store.factory.world.lead_ids, 2)
    store.merge(source, destination)
    return ["added", "merged"]
