"""The probe on a lenient and on a strict local API: its findings must match the settings of the API."""

import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from integration_tests.close_api import Fault, LocalCloseApi, RateLimit, Settings, Volumes
from integration_tests.harness.moments import DAY, now
from integration_tests.probe.__main__ import ask_all, main, probe
from integration_tests.probe.account import Account
from integration_tests.probe.question import Finding

VOLUMES = Volumes(activities=300, leads=120, tasks=90, events=150, users=4, custom_fields=6)
ROWS_A_CHAIN = 100
# The finding of each question by its text.
Findings = dict[str, Finding]
LENIENT = {"search_max_rows": ROWS_A_CHAIN, "rate_limit": RateLimit(500, 1.0), "max_skip": {"activity": 250_000}}
STRICT: dict[str, Any] = {
    "search_max_rows": ROWS_A_CHAIN,
    "admin": False,
    "max_skip": dict.fromkeys(("activity", "task", "user", "custom_field", "lead"), 50),
    "error_wording": "new",
    "activity_order": "id",
    "task_order": "date_updated",
    "user_order": "oldest",
    "lead_order": "oldest",
    "filter_precision": "second",
    "custom_field_lists_have_shared": True,
    "pages_of_unpaged_lists": "reject",
    "meeting_date_created_is_start": False,
    "search_past_max_rows": "reject",
    "event_date_filter_with_cursor": "reject",
    "event_cursor_keeps_bounds": False,
    "event_data_for_non_admin": "null",
    "rate_limit_header": False,
}


def findings(**settings: Any) -> Findings:
    """Run the probe on an API with these settings."""
    with LocalCloseApi(VOLUMES, settings=Settings(**settings), start=now() - 200 * DAY) as api:
        meeting = next(iter(api.store.collections["activity/meeting"].records))
        api.store.reschedule_meeting(meeting, now() + DAY)
        account = Account({"api_key": "api_local", "base_url": api.url}, rows_per_chain=ROWS_A_CHAIN)
        found = {question.text: finding for question, finding in ask_all(account)}
        assert {entry.method for entry in api.requests if entry.path != "/data/search/"} <= {"GET", "POST"}
        posts = [entry for entry in api.requests if entry.method == "POST" and entry.path != "/data/search/"]
        assert all(entry.headers["x-http-method-override"] == "GET" for entry in posts)
    return found


@pytest.fixture(scope="module")
def lenient() -> Findings:
    return findings(**LENIENT)


@pytest.fixture(scope="module")
def strict() -> Findings:
    return findings(**STRICT)


@pytest.mark.parametrize(
    ("question", "when_lenient", "when_strict"),
    [
        ("/me/: is the key", "yes", "no"),
        (
            "/activity/: how far does _skip",
            "max_skip = 250000.*_skip=250,000 is accepted",
            "equal to 50.*_skip=50 is accepted",
        ),
        ("/task/: how far does _skip", "_skip=10,000,000 is accepted", "less than or equal to 50"),
        ("/user/: how far does _skip", "_skip=10,000,000 is accepted", "less than or equal to 50"),
        (
            "/activity/: in which order",
            "newest date_created first, the same in two",
            "by neither date, the same in two",
        ),
        ("/task/: in which order", "newest date_created first", "oldest date_updated first"),
        ("/lead/: in which order", "newest date_created first", "oldest date_created first"),
        ("/user/: in which order", "by neither date", "oldest date_created first"),
        ("/activity/: is the filter by date_created", "honoured", "honoured"),
        ("/activity/: does the filter by date_created", "to the millisecond", "only whole seconds"),
        ("/task/: does the filter by date_updated", "to the millisecond", "only whole seconds"),
        ("/user/: may a page have 1,000 rows?", "yes: 4 rows", "yes: 4 rows"),
        ("/lead/: does id__in", "119 ids return exactly", "119 ids return exactly"),
        ("/activity/meeting/: is date_created", r"of (\d+): \1 yes", r"of 20: 19 yes"),
        ("search: what is returned after 100 rows", "no cursor after 100 rows", "a cursor; with it: 400"),
        ("/lead/: does `custom`", r"(\d+) with custom.cf_… keys, \1 with", r"(\d+) with custom.cf_… keys, \1 with"),
        ("/task/: does _type=all", "90 tasks with it, 10 without", "90 tasks with it, 10 without"),
        ("/custom_field/…/: do all six lists", "without pages: shared, custom_object_type", "pages: shared, custom"),
        ("/event/: may date_updated", "newest first", "newest first"),
        ("/event/: how many rows", "50 of 200", "50 of 200"),
        ("/event/: does a cursor keep", "yes", "no: older events are returned"),
        ("/event/: is a date filter honoured", "honoured", "400"),
        ("/event/: do events older than an hour", r"(\d+) of \1 do", "0 of"),
        ("/custom_field/…/: do the lists", "no", "in lead"),
        ("all: is there a ratelimit header", "limit=500", "on none of"),
    ],
)
def test_the_findings_match_the_settings_of_the_api(
    lenient: Findings, strict: Findings, question: str, when_lenient: str, when_strict: str
) -> None:
    for found, expected in ((lenient, when_lenient), (strict, when_strict)):
        [finding] = [finding for text, finding in found.items() if text.startswith(question)]
        assert re.search(expected, finding.saw), finding
        assert finding.verdict in {"yes", "only"}, finding


def test_every_question_has_a_finding_that_the_connector_copes_with(lenient: Findings) -> None:
    assert len(lenient) > 35
    assert [text for text, finding in lenient.items() if finding.verdict != "yes"] == []


def test_the_probe_says_no_if_the_connector_would_fail() -> None:
    """The error message of the skip cap is one that the connector does not know."""
    with LocalCloseApi(VOLUMES) as api:
        body = {"error": "Not that far."}
        api.faults.add(Fault("status", "/activity/", status=400, body=body, when=lambda query: "_skip" in query))
        account = Account({"api_key": "api_local", "base_url": api.url})
        found = list(ask_all(account))
    [finding] = [finding for question, finding in found if question.text.startswith("/activity/: how far")]
    assert finding.saw == "400 «Not that far.»"
    assert finding.verdict == "no"


def test_the_probe_shows_and_stores_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LocalCloseApi(VOLUMES) as api, (tmp_path / "shown.txt").open("w") as shown:
        console = Console(file=shown, width=200)
        assert probe(Account({"api_key": "api_local", "base_url": api.url}), console) == 0
        records = [*api.store.objects.values(), *api.store.events.visible.records.values()]
        values = {record.id for record in records} | {str(record.data().get("display_name")) for record in records}
    table = (tmp_path / "shown.txt").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["shown.txt"]
    assert "api_local" not in table
    assert len(values) > 500
    assert not [value for value in values if value in table and value != "None"]


def test_the_probe_reports_a_wrong_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalCloseApi(VOLUMES) as api:
        (tmp_path / "config.json").write_text(f'{{"api_key": "api_wrong_key", "base_url": "{api.url}"}}')
        monkeypatch.setattr("sys.argv", ["probe", "--config", str(tmp_path / "config.json")])
        assert main() == 1
    out = capsys.readouterr().out
    assert "does not accept the API key" in " ".join(out.split())
    assert "api_wrong_key" not in out
