"""Airbyte source connector for the Close CRM."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return ``SourceClose``, which Airbyte's tools look for here.

    The CDK is imported only then, since ``process`` has to handle signals before that.
    """
    if name == "SourceClose":
        from source_close.source import SourceClose  # noqa: PLC0415 - see above

        return SourceClose
    raise AttributeError(name)
