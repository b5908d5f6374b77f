"""README.md, docs/, the metadata, the image and the release agree with the manifest, the config and the Makefile."""

import re
from datetime import timedelta
from importlib.metadata import metadata, version
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from airbyte_cdk.models.connector_metadata import ConnectorLanguage, MetadataFile
from pydantic import TypeAdapter

from source_close.api.sync import READ_RETRY_SECONDS
from source_close.source import load_manifest
from unit_tests.syncs import DEFINED, PROPERTIES, ROOT, STREAMS, Row, cursor_of, stock_source, transform

README = (ROOT / "README.md").read_text()
STREAMS_PAGE = (ROOT / "docs" / "streams.md").read_text()
ERRORS_PAGE = (ROOT / "docs" / "reliability.md").read_text()
CLOSE_PAGE = (ROOT / "docs" / "close.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
RELEASE: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]
IMAGE = r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}"
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
RETRIED = {"FAIL": "no", "RETRY": "yes", "RATE_LIMITED": "after the wait that Close asks for"}
# The rows of the error table that are not about a status. The last one is among the promises, not in the table.
WITHOUT_STATUS = {
    0: "none: no connection, a time-out or a broken response",
    200: "any, with an unexpected response",
    201: "",
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def after(text: str, heading: str) -> str:
    return re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]


def table(text: str) -> list[dict[str, str]]:
    """Return the first table of a text, as one mapping per row."""
    lines = text[text.index("\n|") + 1 :].splitlines()
    head, _, *rows = takewhile(lambda line: line.startswith("|"), lines)
    return [dict(zip(cells(head), cells(row.replace("||", "| |")), strict=True)) for row in rows]


def ranges(codes: list[int]) -> str:
    """Return the codes as ranges, e.g. `402, 404-406`."""
    starts = [code for code in codes if code - 1 not in codes]
    ends = [code for code in codes if code + 1 not in codes]
    texts = []
    for start, end in zip(starts, ends, strict=True):
        text = str(start) if start == end else f"{start}-{end}"
        texts.append(text)
    # The first of a hundred is also for those that the table does not have.
    texts += [f"other {code // 100}xx" for code in codes if code % 100 == 0]
    return ", ".join(texts)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def anchored() -> dict[str, str]:
    """Return the text for each field of the form."""
    return dict(re.findall(r'(?ms)^<FieldAnchor field="(.+?)">\n(.*?)^</FieldAnchor>$', CLOSE_PAGE))


def in_words(lookback: str) -> str:
    """Return a lookback as the page of streams has it."""
    if not lookback:
        return "none"
    if "attribution_window" in lookback:
        return "attribution window"
    minutes = TypeAdapter(timedelta).validate_python(lookback) / timedelta(minutes=1)
    return f"{minutes:.0f} minutes"


def test_the_tables_and_the_page_of_streams_have_every_stream() -> None:
    in_backticks = [f"`{name}`" for name in STREAMS]
    assert [row["table"] for row in table(after(README, "What you get"))] == in_backticks
    assert [row["stream"] for row in table(after(STREAMS_PAGE, "How the streams are read"))] == in_backticks
    assert set(STREAMS) <= anchors(STREAMS_PAGE)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_described_as_the_manifest_defines_it(name: str) -> None:
    stream = DEFINED[name]
    [row] = [one for one in table(after(STREAMS_PAGE, "How the streams are read")) if one["stream"] == f"`{name}`"]
    cursor = cursor_of(name)
    lookback = stream.get("incremental_sync", {}).get("lookback_window", "")
    resource = stream["$parameters"].get("resource", "custom_field/…")
    reader = stream["retriever"].get("pages", stream["retriever"])
    assert row["endpoint"].startswith(f"`{reader['requester']['http_method']} /{resource}/`")
    assert row["cursor"] == (f"`{cursor}`" if cursor else "none")
    assert row["lookback"] == in_words(lookback)


def test_the_error_table_agrees_with_the_manifest() -> None:
    expected = []
    for response_filter in HANDLER["response_filters"]:
        codes = response_filter["http_codes"]
        status = WITHOUT_STATUS.get(codes[0], ranges(codes))
        if status:
            expected.append((status, response_filter["error_message"], RETRIED[response_filter["action"]]))
    found = []
    for row in table(after(ERRORS_PAGE, "Errors")):
        message = f"{row['meaning']} {row['what to do']}"
        retried = row["retried"].partition(";")[0]
        found.append((row["status"], message, retried))
    assert sorted(found) == sorted(expected)


def test_the_docs_are_short() -> None:
    words = {page.name: len(page.read_text().split()) for page in PAGES}
    assert words["README.md"] <= 1_300
    assert sum(words.values()) <= 9_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_the_make_targets_files_and_headings_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        file = page.parent / parts.path if parts.path else page
        assert file.is_file(), link
        if parts.fragment:
            assert parts.fragment in anchors(file.read_text()), link


def test_the_column_types_of_custom_fields_are_the_manifests() -> None:
    text = (ROOT / "docs" / "custom-fields.md").read_text()
    types = stock_source().resolved_manifest["schemas"]["custom_field_types"]
    words = {
        "number": {"type": ["number", "null"]},
        "date": {"type": ["string", "null"], "format": "date"},
        "timestamp with time zone": types["datetime"],
        "text": {"type": ["string", "null"]},
    }
    rows = table(text[text.index("\n| type of the field |") :])
    found = {"other": rows[-1]["type of the column"]}
    for row in rows:
        word = row["type of the column"].partition(":")[0]
        found |= dict.fromkeys(re.findall(r"`(\w+)`", row["type of the field"]), word)
    assert {kind: words[word] for kind, word in found.items()} == types


def test_the_page_of_the_architecture_has_every_module_and_every_class_of_the_manifest() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = {file.name for file in (ROOT / "source_close").rglob("*.py")} - {"__init__.py"}
    assert modules <= {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", text)}
    named = set(re.findall(r"class_name: [\w.]+\.(\w+)", (ROOT / "manifest.yaml").read_text()))
    listed = " ".join(row["component"] for row in table(after(text, "Custom components")))
    assert named <= set(re.findall(r"`(\w+)`", listed))


def test_files_with_a_key_or_data_that_documented_commands_create_are_ignored_by_git() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    made = set(re.findall(r"(?:\s>>?\s*|mkdir -p )([\w.-][\w./-]*)", commands))
    assert {"secrets", "secrets/config.json", "secrets/messages.jsonl", "secrets/state.json"} <= made
    assert {name.split("/")[0] for name in made} == {"secrets"}
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
    need = "" if name == "api_key" else ", optional"
    assert text.startswith(f"**{field['title']}** (`{name}`{need}):")
    if "default" in field:
        assert f"by default {str(field['default']).lower()}." in text
    else:
        assert "by default " not in text
    if "minimum" in field:
        assert f"From {field['minimum']} to {field['maximum']}," in text


def test_the_example_start_dates_are_accepted() -> None:
    examples = re.findall(r"`(\d.+?)`", anchored()["start_date"])
    assert [transform(start_date=example)["sync"]["start"][:10] for example in examples] == ["2024-01-31"] * 3


def test_the_list_of_streams_agrees_with_the_manifest() -> None:
    section = after(CLOSE_PAGE, "Supported Streams").split("\n## ")[0]
    listed = re.findall(r"^- \[`(\w+)`\]\(https://developer\.close\.com/\S+\)(.*)$", section, re.MULTILINE)
    assert [name for name, _ in listed] == STREAMS
    for name, note in listed:
        assert note == ("" if cursor_of(name) else " (full refresh only)"), name


def test_the_version_is_the_same_everywhere() -> None:
    declared = version("source-close")
    assert re.fullmatch(r"\d+\.\d+\.\d+", declared)
    assert f'\nversion = "{declared}"\n' in (ROOT / "pyproject.toml").read_text()
    assert METADATA["dockerImageTag"] == declared
    assert f'io.airbyte.version="{declared}"' in DOCKERFILE
    releases = re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d{4}-\d{2}-\d{2}) \|", CLOSE_PAGE, re.MULTILINE)
    changelog = re.findall(r"^## \[(.+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases == changelog
    assert releases[0][0] == declared
    assert releases[-1][1] == METADATA["releaseDate"]
    for example in ("duckdb_sync.py", "postgres_sync.py"):
        assert f"source_close-{declared}-py3" in (ROOT / "examples" / example).read_text()


def test_the_image_has_the_name_in_the_metadata_and_base_images_are_pinned_by_digest() -> None:
    assert f'io.airbyte.name="{METADATA["dockerRepository"]}"' in DOCKERFILE
    assert re.search(rf"^ARG BASE_IMAGE={IMAGE}$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(IMAGE, METADATA["connectorBuildOptions"]["baseImage"])


def test_the_metadata_describe_the_connector() -> None:
    assert MetadataFile.from_file(ROOT / "metadata.yaml").data.language == ConnectorLanguage.PYTHON
    assert METADATA["suggestedStreams"]["streams"] == STREAMS
    assert (ROOT / METADATA["icon"]).read_text().startswith("<svg")


def test_the_only_allowed_host_is_that_of_the_default_url() -> None:
    """The platform would block every request if the host of the default URL were missing."""
    hosts = METADATA["allowedHosts"]["hosts"]
    assert [f"https://{host}/api/v1" for host in hosts] == [PROPERTIES["base_url"]["default"]]


def test_every_link_to_the_documentation_leads_to_the_connectors_own_page() -> None:
    urls = dict(line.split(", ", 1) for line in metadata("source-close").get_all("Project-URL", []))
    page = urls["Documentation"]
    assert page == f"{urls['Repository']}/blob/main/docs/close.md"
    assert METADATA["documentationUrl"] == page
    assert load_manifest()["spec"]["documentation_url"] == page


def test_the_registry_knows_the_package() -> None:
    assert METADATA["remoteRegistries"]["pypi"] == {"enabled": True, "packageName": metadata("source-close")["Name"]}


def test_the_registry_allows_for_the_longest_time_that_one_request_takes() -> None:
    """It waits for the rate limit, times out, is retried; and may start the last retry just before these end."""
    requester = load_manifest()["definitions"]["shared"]["base_requester"]
    attempt = requester["connect_timeout_in_seconds"] + requester["read_timeout_in_seconds"]
    paced_attempt = 2 * READ_RETRY_SECONDS + attempt
    last_wait = READ_RETRY_SECONDS
    longest = paced_attempt + READ_RETRY_SECONDS + last_wait + paced_attempt
    assert METADATA["maxSecondsBetweenMessages"] > 2 * longest


def test_a_release_needs_a_tag_and_all_checks() -> None:
    assert RELEASE[True] == {"push": {"tags": ["v*"]}}, "YAML reads the key `on` as true"
    jobs = RELEASE["jobs"]
    assert 'make release-dry-run TAG="$GITHUB_REF_NAME"' in [step.get("run") for step in jobs["test"]["steps"]]
    assert {name for name, job in jobs.items() if "needs" not in job} == {"ci", "test"}
    assert jobs["pypi"]["needs"] == jobs["image"]["needs"] == ["ci", "test"]
    assert jobs["release"]["needs"] == ["pypi", "image"]
