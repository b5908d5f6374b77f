"""A read-only check of a real account: how Close behaves where it is undocumented and the connector depends on it."""
