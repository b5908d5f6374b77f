"""The package, the image and the metadata for the registry agree on the version, names and streams."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from airbyte_cdk.models.connector_metadata import ConnectorLanguage, MetadataFile

from source_close.source import load_manifest
from unit_tests.syncs import STREAMS

PROJECT = Path(__file__).resolve().parent.parent
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
METADATA: dict[str, Any] = yaml.safe_load((PROJECT / "metadata.yaml").read_text())["data"]
IMAGE = r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}"


def test_the_version_is_the_same_everywhere() -> None:
    declared = version("source-close")
    assert re.fullmatch(r"\d+\.\d+\.\d+", declared)
    assert f'\nversion = "{declared}"\n' in (PROJECT / "pyproject.toml").read_text()
    assert METADATA["dockerImageTag"] == declared
    assert f'io.airbyte.version="{declared}"' in DOCKERFILE
    assert f"## [{declared}]" in (PROJECT / "CHANGELOG.md").read_text()


def test_the_image_has_the_name_in_the_metadata_and_base_images_are_pinned_by_digest() -> None:
    assert f'io.airbyte.name="{METADATA["dockerRepository"]}"' in DOCKERFILE
    assert re.search(rf"^ARG BASE_IMAGE={IMAGE}$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(IMAGE, METADATA["connectorBuildOptions"]["baseImage"])


def test_the_metadata_describe_the_connector() -> None:
    assert MetadataFile.from_file(PROJECT / "metadata.yaml").data.language == ConnectorLanguage.PYTHON
    assert METADATA["suggestedStreams"]["streams"] == STREAMS
    assert (PROJECT / METADATA["icon"]).read_text().startswith("<svg")


def test_the_only_allowed_host_is_that_of_the_default_url() -> None:
    """The platform would block every request if the host of the default URL were missing."""
    base_url = load_manifest()["spec"]["connection_specification"]["properties"]["base_url"]["default"]
    assert [f"https://{host}/api/v1" for host in METADATA["allowedHosts"]["hosts"]] == [base_url]
