"""What is done once before the processes of `forked` are forked."""

from integration_tests.forked import resolved_manifest

resolved_manifest()
