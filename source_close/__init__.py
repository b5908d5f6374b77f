"""Airbyte source connector for the Close CRM."""
