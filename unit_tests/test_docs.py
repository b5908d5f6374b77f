"""README.md and docs/ agree with the manifest, the config and the Makefile."""

import re
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from isodate import parse_duration

from source_close.source import load_manifest
from unit_tests.syncs import DEFINED, PROPERTIES, ROOT, STREAMS, Row, cursor_of, stock_source, transform

README = (ROOT / "README.md").read_text()
STREAMS_PAGE = (ROOT / "docs" / "streams.md").read_text()
ERRORS_PAGE = (ROOT / "docs" / "reliability.md").read_text()
CLOSE_PAGE = (ROOT / "docs" / "close.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HANDLER: Row = load_manifest()["definitions"]["shared"]["error_handler"]
SHOWN = {name: field for name, field in PROPERTIES.items() if not field.get("airbyte_hidden")}
# https://docs.airbyte.com/community/contributing-to-airbyte/resources/qa-checks; subheadings in between are allowed.
HEADINGS = [
    "# Close",
    "## Prerequisites",
    "## Setup guide",
    "## Set up the Close connector in Airbyte",
    "### For Airbyte Cloud:",
    "### For Airbyte Open Source:",
    "## Supported sync modes",
    "## Supported Streams",
    "### Performance considerations",
    "## Data type map",
    "## Limitations & Troubleshooting",
    "## IP allow list",
    "## Changelog",
]
RETRIED = {
    "FAIL": "no",
    "RETRY": "yes",
    "RATE_LIMITED": "after the wait that Close asks for",
}
# The rows of the error table that are not about a status.
WITHOUT_STATUS = {
    "none: no connection, a time-out or a broken response": "no_response_message",
    "any, with an unexpected response": "unreadable_response_message",
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def after(text: str, heading: str) -> str:
    return re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]


def table(text: str, heading: str) -> list[dict[str, str]]:
    """Return the first table under a heading, as one mapping per row."""
    text = after(text, heading)
    lines = text[text.index("\n|") + 1 :].splitlines()
    head, _, *rows = takewhile(lambda line: line.startswith("|"), lines)
    return [dict(zip(cells(head), cells(row.replace("||", "| |")), strict=True)) for row in rows]


def ranges(codes: list[int]) -> str:
    """Return the codes as ranges, e.g. `402, 404-406`."""
    starts = [code for code in codes if code - 1 not in codes]
    ends = [code for code in codes if code + 1 not in codes]
    named = [f"{start}-{end}" if start < end else str(start) for start, end in zip(starts, ends, strict=True)]
    # The first of a hundred is also for those that the table does not have.
    return ", ".join([*named, *(f"other {code // 100}xx" for code in codes if code % 100 == 0)])


def by_code(rows: list[dict[str, str]], column: str) -> dict[str, dict[str, str]]:
    """Return the rows by the value of a column that contains one word in backticks."""
    found = {row[column].strip("`"): row for row in rows}
    assert len(found) == len(rows)
    return found


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def anchored() -> dict[str, str]:
    """Return the text for each field of the form."""
    return dict(
        re.findall(r'^<FieldAnchor field="(.+?)">\n(.*?)^</FieldAnchor>$', CLOSE_PAGE, flags=re.MULTILINE | re.DOTALL)
    )


def test_the_tables_and_the_page_of_streams_have_every_stream() -> None:
    assert list(by_code(table(README, "What you get"), "table")) == STREAMS
    assert list(by_code(table(STREAMS_PAGE, "How the streams are read"), "stream")) == STREAMS
    assert set(STREAMS) <= anchors(STREAMS_PAGE)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_described_as_the_manifest_defines_it(name: str) -> None:
    stream = DEFINED[name]
    row = by_code(table(STREAMS_PAGE, "How the streams are read"), "stream")[name]
    cursor = stream.get("incremental_sync", {})
    resource = stream["$parameters"].get("resource", "custom_field/…")
    lookback = cursor.get("lookback_window", "")
    reader = stream["retriever"].get("pages", stream["retriever"])
    assert row["endpoint"].startswith(f"`{reader['requester']['http_method']} /{resource}/`")
    assert row["cursor"] == (f"`{cursor['cursor_field']}`" if cursor else "none")
    if not lookback:
        assert row["lookback"] == "none"
    elif "attribution_window" in lookback:
        assert row["lookback"] == "attribution window"
    else:
        assert row["lookback"] == f"{parse_duration(lookback).total_seconds() / 60:.0f} minutes"


def test_the_error_table_agrees_with_the_manifest() -> None:
    expected = [
        (ranges(one["http_codes"]), one["error_message"], RETRIED[one["action"]]) for one in HANDLER["response_filters"]
    ]
    expected += [(status, HANDLER[name], RETRIED["RETRY"]) for status, name in WITHOUT_STATUS.items()]
    found = [
        (row["status"], f"{row['meaning']} {row['what to do']}", row["retried"].partition(";")[0])
        for row in table(ERRORS_PAGE, "Errors")
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_the_make_targets_files_and_headings_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        parts = urlsplit(target)
        if not parts.scheme:
            file = (page.parent / parts.path).resolve() if parts.path else page
            assert file.is_file(), target
            assert not parts.fragment or parts.fragment in anchors(file.read_text()), target


def test_the_column_types_of_custom_fields_are_the_manifests() -> None:
    text = (ROOT / "docs" / "custom-fields.md").read_text()
    types = stock_source().resolved_manifest["schemas"]["custom_field_types"]
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


def test_the_page_of_the_architecture_has_every_module_and_every_class_of_the_manifest() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = {file.name for file in (ROOT / "source_close").glob("*.py")} - {"__init__.py"}
    assert modules <= {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", text)}
    named = set(re.findall(r"class_name: [\w.]+\.(\w+)", (ROOT / "manifest.yaml").read_text()))
    listed = {name for row in table(text, "Custom components") for name in re.findall(r"`(\w+)`", row["component"])}
    assert named <= listed


def test_files_with_a_key_that_documented_commands_create_are_ignored_by_git() -> None:
    lines = [
        line for page in PAGES for line in page.read_text().replace("\\\n", " ").splitlines() if '{"api_key"' in line
    ]
    made = {name for line in lines for name in re.findall(r"(?:\s>\s*|mkdir -p )([\w.-][\w./-]*)", line)}
    assert made == {"secrets", "secrets/config.json"}
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_page_has_the_required_headings_in_order() -> None:
    headings = re.findall(r"^#+ .*$", CLOSE_PAGE, flags=re.MULTILINE)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS
    assert {heading for heading in headings if heading.startswith("## ")} <= set(HEADINGS)


def test_the_page_has_the_fields_in_the_order_of_the_form() -> None:
    assert list(anchored()) == sorted(SHOWN, key=lambda name: SHOWN[name]["order"])


@pytest.mark.parametrize("name", SHOWN)
def test_a_field_has_the_title_default_and_bounds_of_the_spec(name: str) -> None:
    field = SHOWN[name]
    text = " ".join(anchored()[name].split())
    assert text.startswith(f"**{field['title']}** (`{name}`" + ("):" if name == "api_key" else ", optional):"))
    assert ("default" in field) == ("by default " in text)
    if "default" in field:
        assert f"by default {str(field['default']).lower()}." in text
    if "minimum" in field:
        assert f"From {field['minimum']} to {field['maximum']}," in text


def test_the_example_start_dates_are_accepted() -> None:
    examples = re.findall(r"`(\d.+?)`", anchored()["start_date"])
    assert len(examples) == 3
    assert all(transform(start_date=example)["sync"]["start"].startswith("2024-01-31") for example in examples)


def test_the_list_of_streams_agrees_with_the_manifest() -> None:
    section = after(CLOSE_PAGE, "Supported Streams").split("\n## ")[0]
    listed = re.findall(r"^- \[`(\w+)`\]\(https://developer\.close\.com/\S+\)(.*)$", section, re.MULTILINE)
    assert listed == [(name, "" if cursor_of(name) else " (full refresh only)") for name in STREAMS]
