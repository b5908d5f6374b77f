"""Airbyte source connector for the Close CRM."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return ``SourceClose``, which Airbyte's tools look for here; only then import the CDK."""
    if name == "SourceClose":
        from source_close.source import SourceClose  # noqa: PLC0415 - else signals come too early

        return SourceClose
    raise AttributeError(name)
