"""docs/close.md, the page for Airbyte's documentation, agrees with the manifest."""

import re
from pathlib import Path

import pytest

from source_close.source import load_manifest
from unit_tests.syncs import stock_source
from unit_tests.test_readme import PROPERTIES, STREAMS, prepared

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "close.md").read_text()
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


def anchored() -> dict[str, str]:
    """Return the text for each field of the form."""
    return dict(
        re.findall(r'^<FieldAnchor field="(.+?)">\n(.*?)^</FieldAnchor>$', PAGE, flags=re.MULTILINE | re.DOTALL)
    )


def section(heading: str) -> str:
    return re.split(rf"^#+ {re.escape(heading)}$", PAGE, maxsplit=1, flags=re.MULTILINE)[1].split("\n## ")[0]


def test_the_page_has_the_required_headings_in_order() -> None:
    headings = re.findall(r"^#+ .*$", PAGE, flags=re.MULTILINE)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS
    assert {heading for heading in headings if heading.startswith("## ")} <= set(HEADINGS)


def test_the_page_has_the_fields_in_the_order_of_the_form() -> None:
    assert list(anchored()) == sorted(SHOWN, key=lambda name: SHOWN[name]["order"])


@pytest.mark.parametrize("name", SHOWN)
def test_a_field_has_the_title_default_and_bounds_of_the_spec(name: str) -> None:
    field, text = SHOWN[name], " ".join(anchored()[name].split())
    required = load_manifest()["spec"]["connection_specification"]["required"]
    assert text.startswith(f"**{field['title']}** (`{name}`" + ("):" if name in required else ", optional):"))
    assert ("default" in field) == ("by default " in text)
    if "default" in field:
        assert f"by default {str(field['default']).lower()}." in text
    if "minimum" in field:
        assert f"From {field['minimum']} to {field['maximum']}," in text


def test_the_example_start_dates_are_accepted() -> None:
    examples = re.findall(r"`(\d.+?)`", anchored()["start_date"])
    assert len(examples) == 3
    assert all(prepared(start_date=example)["sync"]["start"].startswith("2024-01-31") for example in examples)


def test_the_list_of_streams_agrees_with_the_manifest() -> None:
    modes = {
        stream.name: {mode.value for mode in stream.as_airbyte_stream().supported_sync_modes}
        for stream in stock_source().streams({})
    }
    notes = {"full_refresh": " (full refresh only)", "full_refresh incremental": ""}
    listed = re.findall(
        r"^- \[`(\w+)`\]\(https://developer\.close\.com/\S+\)(.*)$", section("Supported Streams"), re.MULTILINE
    )
    assert listed == [(stream["name"], notes[" ".join(sorted(modes[stream["name"]]))]) for stream in STREAMS]
    assert all(stream["primary_key"] == "id" for stream in STREAMS)
