"""Random changes of all kinds, of an account that has records of all kinds."""

from integration_tests.close_api import Store


def change_something(store: Store, times: int) -> dict[str, int]:
    """Make each change `times` times; return how many records were added, edited, completed, deleted and merged."""
    maker = store.factory.maker
    world = store.factory.world
    with store.lock:
        for _ in range(times):
            store.add(maker.pick(("lead", "task", "Note", "Email", "Meeting")))
            store.edit(_pick(store, "activity/note"), note="Edited later ✏️")
            store.edit(maker.pick(world.lead_ids), status_id=maker.pick(world.lead_statuses).id)
            store.complete_task(_pick(store, "task", is_complete=False))
            store.delete(_pick(store, "activity"))
            store.merge(*maker.random.sample(world.lead_ids, 2))
    # Completing a task and merging leads add an activity.
    return {"added": 3 * times, "edited": 2 * times, "completed": times, "deleted": times, "merged": times}


def _pick(store: Store, collection: str, **values: object) -> str:
    """Return the id of a random record of a collection that has these values."""
    records = store.collections[collection].records.values()
    return store.factory.maker.pick([one.id for one in records if values.items() <= one.data().items()])
