"""Checks that are make targets of their own, because they need more than the environment of the tests."""
