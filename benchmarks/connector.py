"""Run the connector as Airbyte does, with the installed command."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .output import read_output
from .paths import BUILD
from .processes import measure_or_stop, stop
from .server import API_KEY, Server

NAME = "source-close"
_COMMAND = Path(sys.executable).parent / NAME


def versions() -> dict[str, str]:
    """Return the versions of the connector and of the packages that determine its speed."""
    return {name: version(name) for name in (NAME, "airbyte-cdk", "requests", "orjson")}


def prepare(server: Server) -> list[str]:
    """Discover and select all streams, and return the command that reads them."""
    if not _COMMAND.exists():
        stop(f"the command {NAME} is not installed next to {Path(sys.executable).name}: make bench installs it.")
    config, catalog, discovered = (BUILD / f"connector-{name}.json" for name in ("config", "catalog", "discovered"))
    given = {"api_key": API_KEY, "start_date": server.start_date, "base_url": server.url}
    config.write_text(json.dumps(given))
    measure_or_stop([os.fspath(_COMMAND), "discover", "--config", str(config)], discovered)
    catalog.write_text(json.dumps({"streams": [_selected(stream) for stream in _streams(discovered)]}))
    return [os.fspath(_COMMAND), "read", "--config", str(config), "--catalog", str(catalog)]


def _streams(discovered: Path) -> list[dict[str, Any]]:
    messages = [json.loads(line) for line in discovered.read_text().splitlines()]
    catalogs = [message["catalog"] for message in messages if message["type"] == "CATALOG"]
    if not catalogs:
        stop("discover printed no catalog.")
    streams: list[dict[str, Any]] = catalogs[-1]["streams"]
    return streams


def _selected(stream: dict[str, Any]) -> dict[str, Any]:
    is_incremental = "incremental" in stream["supported_sync_modes"]
    return {
        "stream": stream,
        "sync_mode": "incremental" if is_incremental else "full_refresh",
        "destination_sync_mode": "append_dedup" if is_incremental else "overwrite",
        "cursor_field": stream.get("default_cursor_field") or [],
        "primary_key": stream.get("source_defined_primary_key") or [],
    }


def continued(command: list[str], output: Path) -> list[str]:
    """Return the command that continues from the last states in this output."""
    state = BUILD / "connector-state.json"
    state.write_text(json.dumps(list(read_output(output).states.values())))
    return [*command, "--state", str(state)]
