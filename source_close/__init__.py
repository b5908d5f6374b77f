"""Airbyte source connector for the Close CRM."""

from source_close.source import SourceClose as SourceClose
