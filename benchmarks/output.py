"""Read the records in the output of a run."""

from collections import defaultdict
from pathlib import Path

import orjson


def read_ids(path: Path) -> dict[str, list[str]]:
    """Return the id of each record that a program wrote, by stream; skip a line that a crash has truncated."""
    ids = defaultdict[str, list[str]](list)
    with path.open("rb") as lines:
        for line in lines:
            try:
                message = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if message.get("type") == "RECORD":
                record = message["record"]
                is_singer = "stream" in message
                stream = message["stream"] if is_singer else record["stream"]
                ids[stream].append(record["id"] if is_singer else record["data"]["id"])
    return ids
