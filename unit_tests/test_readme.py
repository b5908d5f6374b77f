"""README.md and docs/ agree with the manifest, the config and the Makefile."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from isodate import parse_duration

from source_close.config import CloseConfigTransformation
from source_close.dates import parse_moment, utc_now
from source_close.source import SourceClose, load_manifest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MANIFEST = load_manifest()
STREAMS: list[dict[str, Any]] = SourceClose(config={"api_key": "api_test"}).resolved_manifest["streams"]
PROPERTIES: dict[str, dict[str, Any]] = MANIFEST["spec"]["connection_specification"]["properties"]
HANDLER: dict[str, Any] = MANIFEST["definitions"]["error_handler"]


def prepared(**config: Any) -> dict[str, Any]:
    """Return a config with the values that the manifest uses."""
    given = {"api_key": "api_test", **config}
    CloseConfigTransformation().transform(given)
    return given


MINUTES = prepared()["retry_seconds"] / 60
RETRIED = {
    "FAIL": "no",
    "RETRY": f"for {MINUTES:.0f} minutes, with growing waits",
    "RATE_LIMITED": f"after the wait that Close asks for, {MINUTES:.0f} minutes at most",
}
NO_RESPONSE = "none: no connection, a time-out or a broken response"
UNREADABLE = "any, with an unexpected response"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table(text: str, heading: str) -> list[dict[str, str]]:
    """Return the first table under a heading, as one mapping per row."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    lines = section[section.index("\n|") + 1 :].splitlines()
    head, _, *rows = takewhile(lambda line: line.startswith("|"), lines)
    return [dict(zip(cells(head), cells(row.replace("||", "| |")), strict=True)) for row in rows]


def ranges(codes: list[int]) -> str:
    """Return the codes as ranges, e.g. `402, 404-406`."""
    starts = [code for code in codes if code - 1 not in codes]
    ends = [code for code in codes if code + 1 not in codes]
    return ", ".join(f"{start}-{end}" if start < end else str(start) for start, end in zip(starts, ends, strict=True))


def by_code(rows: list[dict[str, str]], column: str) -> dict[str, dict[str, str]]:
    """Return the rows by the value of a column that contains one word in backticks."""
    found = {row[column].strip("`"): row for row in rows}
    assert len(found) == len(rows)
    return found


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_introduction_lists_every_stream() -> None:
    assert list(by_code(table(README, "What you get"), "table")) == [stream["name"] for stream in STREAMS]


def test_the_stream_table_has_every_stream() -> None:
    assert list(by_code(table(README, "Streams"), "stream")) == [stream["name"] for stream in STREAMS]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: str(stream["name"]))
def test_a_stream_is_described_as_the_manifest_defines_it(stream: dict[str, Any]) -> None:
    row = by_code(table(README, "Streams"), "stream")[stream["name"]]
    cursor, requester = stream.get("incremental_sync"), stream["retriever"]["requester"]
    assert row["key"] == f"`{stream['primary_key']}`"
    assert row["cursor"] == (f"`{cursor['cursor_field']}`" if cursor else "none")
    resource = stream["$parameters"].get("resource")
    path = f"/{resource}/" if resource else "/custom_field/…/"
    assert row["endpoint"].startswith(f"`{requester['http_method']} {path}`")


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: str(stream["name"]))
def test_the_lookback_is_the_manifests(stream: dict[str, Any]) -> None:
    lookback = stream.get("incremental_sync", {}).get("lookback_window", "")
    if not lookback:
        expected = "none"
    elif "attribution_window" in lookback:
        expected = "attribution window"
    else:
        expected = f"{parse_duration(lookback).total_seconds() / 60:.0f} minutes"
    assert by_code(table(README, "Streams"), "stream")[stream["name"]]["lookback"] == expected


def test_the_days_of_the_event_log_agree_with_the_manifest() -> None:
    event_log = MANIFEST["definitions"]["streams"]["event_log"]
    assert "-30" in event_log["incremental_sync"]["start_datetime"]["min_datetime"]
    row = by_code(table(README, "Streams"), "stream")["event_log"]
    assert "30 days" in row["a first sync reads"]
    assert "30 days" in row["a later sync reads"]


def test_the_number_of_custom_field_lists_agrees_with_the_manifest() -> None:
    stream = next(stream for stream in STREAMS if stream["name"] == "custom_fields")
    kinds = stream["retriever"]["partition_router"]["values"]
    assert len(kinds) == 6
    assert "six lists" in by_code(table(README, "Streams"), "stream")["custom_fields"]["endpoint"]


def test_the_configuration_table_has_the_visible_fields_in_order() -> None:
    shown = {name: field for name, field in PROPERTIES.items() if not field.get("airbyte_hidden")}
    assert list(by_code(table(README, "Configuration"), "field")) == sorted(shown, key=lambda one: shown[one]["order"])


@pytest.mark.parametrize("name", [name for name, field in PROPERTIES.items() if not field.get("airbyte_hidden")])
def test_title_default_and_bounds_of_a_field_agree_with_the_spec(name: str) -> None:
    field, row = PROPERTIES[name], by_code(table(README, "Configuration"), "field")[name]
    assert row["title in Airbyte"] == field["title"]
    if name in MANIFEST["spec"]["connection_specification"]["required"]:
        assert row["default"] == "none, required"
    elif "default" in field:
        assert row["default"] == str(field["default"]).lower()
    if "minimum" in field:
        assert row["bounds"] == f"{field['minimum']} to {field['maximum']}"


def test_the_default_start_date_agrees_with_the_code() -> None:
    start = parse_moment(prepared()["start_date"])
    assert (utc_now() - start).days in {365, 366}
    row = by_code(table(README, "Configuration"), "field")["start_date"]
    assert row["default"] == "one year before the sync"


@pytest.mark.parametrize("example", ["2024-01-31", "2024-01-31T08:00:00Z", "01/31/2024"])
def test_the_documented_forms_of_a_start_date_are_accepted(example: str) -> None:
    assert f"`{example}`" in by_code(table(README, "Configuration"), "field")["start_date"]["what it is"]
    assert prepared(start_date=example)["start_date"].startswith("2024-01-31")


def test_the_error_table_agrees_with_the_manifest() -> None:
    expected = [
        {
            "status": ranges(entry["http_codes"]),
            "message": entry["error_message"],
            "failure type": entry["failure_type"],
            "retried": RETRIED[entry["action"]],
        }
        for entry in HANDLER["response_filters"]
    ]
    found = [
        {
            "status": row["status"],
            "message": f"{row['meaning']} {row['what to do']}",
            "failure type": row["failure type"],
            "retried": row["retried"],
        }
        for row in table(README, "Errors")
        if row["status"] not in {NO_RESPONSE, UNREADABLE}
    ]
    assert sorted(found, key=lambda row: row["status"]) == sorted(expected, key=lambda row: row["status"])


@pytest.mark.parametrize(
    ("status", "message"), [(NO_RESPONSE, "no_response_message"), (UNREADABLE, "unreadable_response_message")]
)
def test_missing_and_unreadable_responses_are_in_the_error_table(status: str, message: str) -> None:
    row = next(row for row in table(README, "Errors") if row["status"] == status)
    assert row["retried"].startswith(RETRIED["RETRY"])
    assert row["failure type"] == "transient_error"
    assert f"{row['meaning']} {row['what to do']}" == HANDLER[message]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_make_target_in_the_docs_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_link_to_a_file_or_heading_resolves(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        file = (page.parent / parts.path).resolve() if parts.path else page
        if not file.is_file() or (parts.fragment and parts.fragment not in anchors(file.read_text())):
            broken.append(target)
    assert broken == []


def test_the_readme_links_to_every_page_of_the_docs() -> None:
    linked = Counter(re.findall(r"\]\(docs/([a-z-]+\.md)(?:#[^)]*)?\)", README))
    assert set(linked) == {page.name for page in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: str(stream["name"]))
def test_the_docs_describe_every_stream(stream: dict[str, Any]) -> None:
    assert stream["name"] in anchors((ROOT / "docs" / "streams.md").read_text())


def test_the_file_map_has_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", text)}
    modules = {file.name for file in (ROOT / "source_close").glob("*.py")} - {"__init__.py"}
    assert modules - named == set()
    assert all(any(ROOT.glob(f"*/**/{name}")) for name in named)


def test_every_test_that_the_docs_name_exists() -> None:
    files = [file for folder in ("unit_tests", "integration_tests") for file in (ROOT / folder).glob("**/*.py")]
    names = {file.name for file in files}
    names |= {
        name for file in files for name in re.findall(r"^ *(?:def|class) ([Tt]est\w+)", file.read_text(), re.MULTILINE)
    }
    named = {name for page in PAGES for name in re.findall(r"`([Tt]est_?\w+(?:\.py|…)?)`", page.read_text())}
    assert {"test_faults.py", "test_a_429_…", "TestOddEvents"} <= named
    exact = {name for name in named if not name.endswith("…")}
    assert exact - names == set()
    assert [name for name in named - exact if not any(one.startswith(name[:-1]) for one in names)] == []


def test_the_column_types_of_custom_fields_are_the_manifests() -> None:
    text = (ROOT / "docs" / "custom-fields.md").read_text()
    types = SourceClose(config={"api_key": "api_test"}).resolved_manifest["schemas"]["custom_field_types"]
    words = {
        "number": {"type": ["number", "null"]},
        "date": {"type": ["string", "null"], "format": "date"},
        "timestamp with time zone": types["datetime"],
        "text": {"type": ["string", "null"]},
    }
    lines = text[text.index("| type of the field |") :].split("\n\n")[0].splitlines()[2:]
    found = {kind: cells(line)[1].partition(":")[0] for line in lines for kind in re.findall(r"`(\w+)`", line)}
    found["other"] = cells(lines[-1])[1]
    assert {kind: words[word] for kind, word in found.items()} == types


def test_the_table_of_components_has_every_class_in_the_manifest() -> None:
    named = set(re.findall(r"class_name: [\w.]+\.(\w+)", (ROOT / "manifest.yaml").read_text()))
    rows = table((ROOT / "docs" / "architecture.md").read_text(), "Custom components")
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row["component"])}
    assert named - listed == set()


def test_files_that_documented_commands_create_are_ignored_by_git(tmp_path: Path) -> None:
    """Files that contain a key are in `secrets/`."""
    commands = [
        line
        for page in PAGES
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    makes = r"(?:\s>\s*|-m venv |mkdir -p |\s(?=\S+\.duckdb\b))([\w.-][\w./-]*)"
    made = {name for line in commands for name in re.findall(makes, line)}
    assert {"secrets/config.json", "secrets/messages.jsonl", "secrets/close.duckdb", "build/cli", "build/sync"} <= made
    assert {name for line in commands if "api_key" in line for name in re.findall(makes, line)} == {
        "secrets",
        "secrets/config.json",
    }
    git = shutil.which("git") or "git"
    subprocess.run([git, "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    for name in sorted(made):
        ignored = subprocess.run([git, "-C", tmp_path, "check-ignore", "--quiet", f"{name}/x"], check=False)
        assert ignored.returncode == 0, f"{name} could be committed"
