"""Make the files that `read` needs: its catalog from the output of `discover`, its state from the output of reads.

    source-close discover --config config.json | python catalog_and_state.py > catalog.json
    source-close read --config config.json --catalog catalog.json > messages.jsonl
    python catalog_and_state.py < messages.jsonl > state.json

The catalog has all streams. The state has the last state of each stream, so the input may have several reads, one after
the other.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

_RECORD = '{"type":"RECORD"'  # most lines are records, which are not parsed


def configured(stream: dict[str, Any]) -> dict[str, Any]:
    """Return the catalog's entry for a stream that `discover` found."""
    if "incremental" in stream["supported_sync_modes"]:
        return {"stream": stream, "sync_mode": "incremental", "destination_sync_mode": "append_dedup"}
    return {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}


def catalog_or_states(lines: Iterable[str]) -> Any:
    """Return the content of the file; exit with the errors in the input if it has neither a catalog nor a state."""
    states = dict[str, Any]()
    errors = list[str]()
    for line in lines:
        if line.startswith(_RECORD):
            continue
        try:
            message = json.loads(line)
        except ValueError:  # a read that was killed may have printed half a line
            continue
        if message["type"] == "CATALOG":
            return {"streams": [configured(stream) for stream in message["catalog"]["streams"]]}
        if message["type"] == "STATE":
            state = message["state"]
            states[state["stream"]["stream_descriptor"]["name"]] = state
        elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            errors.append(message["trace"]["error"]["message"])
    if not states:
        sys.exit("\n".join(["The input has neither a catalog nor a state.", *errors]))
    return list(states.values())


if __name__ == "__main__":
    print(json.dumps(catalog_or_states(sys.stdin)))
