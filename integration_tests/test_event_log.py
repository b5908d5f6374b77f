"""The stream event_log: windows of a day, whose bounds an event may share."""

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, MILLISECOND, now, text
from integration_tests.harness.truth import clock_at, ids


def test_an_event_on_the_bound_of_two_windows_is_emitted_once(make_api: MakeApi, fork: Fork) -> None:
    """Windows are a day long, and their bounds have fractions of a second that the API's filter may ignore."""
    api = make_api(Volumes(users=1))
    api.settings.filter_precision = "second"
    start = now().replace(microsecond=500_000) - 10 * DAY
    for days in (1, 2, 5):
        for step in (-200, -1, 0, 1, 200):
            # The log stamps an event three milliseconds after the change.
            with clock_at(api, start + days * DAY + (step - 3) * MILLISECOND):
                api.store.add("Note", lead_id=None)
    result = fork(api, start_date=text(start)).sync(["event_log"])
    assert set(result.ids("event_log")) == ids(api, "event_log")
    assert len(result.ids("event_log")) == 15
