"""The package, the image and the metadata for the registry agree on the version, names and links."""

from __future__ import annotations

import base64
import json
import re
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from airbyte_cdk.models.connector_metadata import ConnectorLanguage, MetadataFile

from unit_tests.syncs import DEFINED

PROJECT = Path(__file__).resolve().parent.parent
IMAGE = r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}"


@pytest.fixture(scope="module")
def metadata() -> Any:
    return yaml.safe_load((PROJECT / "metadata.yaml").read_text())["data"]


def declared_version() -> str:
    found = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def dockerfile() -> str:
    return (PROJECT / "Dockerfile").read_text()


def label(name: str) -> str:
    found = re.search(rf'{re.escape(name)}="(.*?)"', dockerfile())
    assert found is not None
    return found[1]


def test_the_version_is_the_same_everywhere(metadata: Any) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", declared_version())
    assert version("source-close") == declared_version()
    assert metadata["dockerImageTag"] == declared_version()
    assert label("io.airbyte.version") == declared_version()
    assert f"## [{declared_version()}]" in (PROJECT / "CHANGELOG.md").read_text()


def test_the_image_has_the_name_in_the_metadata(metadata: Any) -> None:
    assert label("io.airbyte.name") == metadata["dockerRepository"]


def test_base_images_are_pinned_by_digest(metadata: Any) -> None:
    default = re.search(r"^ARG BASE_IMAGE=(.*)$", dockerfile(), re.MULTILINE)
    assert default is not None
    assert re.fullmatch(IMAGE, default[1])
    assert re.fullmatch(IMAGE, metadata["connectorBuildOptions"]["baseImage"])


def test_the_metadata_name_the_base_image_of_the_dockerfile() -> None:
    found = re.search(r"^ARG BASE_IMAGE=\S+/python:(\d+\.\d+)\.\d+-slim-(\w+)@", dockerfile(), re.MULTILINE)
    assert found is not None
    assert f"Python {found[1]} on Debian {found[2]}," in (PROJECT / "metadata.yaml").read_text()


def test_the_entity_diagram_is_the_one_in_the_docs(metadata: Any) -> None:
    found = re.search(r"```mermaid\n(.*?)```", (PROJECT / "docs" / "schema.md").read_text(), re.DOTALL)
    assert found is not None
    viewer, _, shown = metadata["erdUrl"].partition("#pako:")
    state = json.loads(zlib.decompress(base64.urlsafe_b64decode(shown + "=" * (-len(shown) % 4))))
    assert viewer == "https://mermaid.live/view"
    assert state["code"] == found[1], f"erdUrl in metadata.yaml should be {viewer}#pako:{packed(found[1])}"


def packed(diagram: str) -> str:
    """Return a diagram in the form in which the URL of the viewer contains it."""
    state = json.dumps({"code": diagram, "mermaid": "{}"}).encode()
    return base64.urlsafe_b64encode(zlib.compress(state, 9)).decode().rstrip("=")


def test_the_metadata_describe_the_connector_correctly(metadata: Any) -> None:
    parsed = MetadataFile.from_file(PROJECT / "metadata.yaml").data
    assert parsed.language == ConnectorLanguage.PYTHON
    assert metadata["tags"] == ["language:python", "cdk:low-code"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["definitionId"])
    assert (metadata["connectorType"], metadata["connectorSubtype"]) == ("source", "api")
    assert metadata["suggestedStreams"]["streams"] == list(DEFINED)


def test_the_only_allowed_host_is_that_of_the_default_url(metadata: Any) -> None:
    """The platform would block every request if the host of the default URL were missing."""
    manifest = yaml.safe_load((PROJECT / "manifest.yaml").read_text())
    base_url = manifest["spec"]["connection_specification"]["properties"]["base_url"]["default"]
    assert [f"https://{host}/api/v1" for host in metadata["allowedHosts"]["hosts"]] == [base_url]


def test_the_license_and_the_icon_exist(metadata: Any) -> None:
    assert metadata["license"] == "MIT"
    assert "MIT License" in (PROJECT / "LICENSE").read_text()
    assert (PROJECT / metadata["icon"]).read_text().startswith("<svg")


def test_documentation_links_lead_to_close(metadata: Any) -> None:
    urls = [metadata["documentationUrl"], *(entry["url"] for entry in metadata["externalDocumentationUrls"])]
    assert all(re.match(r"https://([a-z]+\.)?close\.com/", url) for url in urls)
    assert {entry["type"] for entry in metadata["externalDocumentationUrls"]} == {
        "api_reference",
        "authentication_guide",
        "rate_limits",
        "api_release_history",
        "openapi_spec",
        "status_page",
    }
