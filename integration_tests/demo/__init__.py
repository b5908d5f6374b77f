"""The connector at work on a local API or a real account: `make demo`."""
