"""The package, the image and the metadata for the registry agree on the version, names and streams."""

import re
from importlib.metadata import metadata, version
from typing import Any

import yaml
from airbyte_cdk.models.connector_metadata import ConnectorLanguage, MetadataFile

from source_close.api.sync import READ_RETRY_SECONDS
from source_close.source import load_manifest
from unit_tests.syncs import PROPERTIES, ROOT, STREAMS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
RELEASE: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]
IMAGE = r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}"


def test_the_version_is_the_same_everywhere() -> None:
    declared = version("source-close")
    assert re.fullmatch(r"\d+\.\d+\.\d+", declared)
    assert f'\nversion = "{declared}"\n' in (ROOT / "pyproject.toml").read_text()
    assert METADATA["dockerImageTag"] == declared
    assert f'io.airbyte.version="{declared}"' in DOCKERFILE
    page = (ROOT / "docs" / "close.md").read_text()
    releases = re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d{4}-\d{2}-\d{2}) \|", page, re.MULTILINE)
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
    assert (ROOT / "docs" / "close.md").is_file()


def test_the_registry_knows_the_package() -> None:
    assert METADATA["remoteRegistries"]["pypi"] == {"enabled": True, "packageName": metadata("source-close")["Name"]}


def test_the_registry_allows_for_the_longest_time_that_one_request_takes() -> None:
    """It waits for the rate limit, times out, is retried; and may start the last retry just before these end."""
    requester = load_manifest()["definitions"]["shared"]["base_requester"]
    attempt = requester["connect_timeout_in_seconds"] + requester["read_timeout_in_seconds"]
    paced_attempt = requester["authenticator"]["max_wait_seconds"] + attempt
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
