"""Many random syncs with faults, kills and changing data: `make soak`."""
