"""Run the connector as Airbyte does, with the installed command."""

import json
import os
import sys
from pathlib import Path

from examples.catalog_and_state import catalog_or_states

from .paths import BUILD
from .processes import measure_or_stop, stop
from .server import API_KEY, Server

NAME = "source-close"
_COMMAND = Path(sys.executable).parent / NAME


def prepare(server: Server) -> list[str]:
    """Discover and select all streams, and return the command that reads them."""
    if not _COMMAND.exists():
        stop(f"the command {NAME} is not installed next to {Path(sys.executable).name}: make bench installs it.")
    config, catalog, discovered = (BUILD / f"connector-{name}.json" for name in ("config", "catalog", "discovered"))
    given = {"api_key": API_KEY, "start_date": server.start_date, "base_url": server.url}
    config.write_text(json.dumps(given))
    measure_or_stop([os.fspath(_COMMAND), "discover", "--config", str(config)], discovered)
    _write_what_follows(discovered, catalog)
    return [os.fspath(_COMMAND), "read", "--config", str(config), "--catalog", str(catalog)]


def continued(command: list[str], output: Path) -> list[str]:
    """Return the command that continues from the last states in this output."""
    state = BUILD / "connector-state.json"
    _write_what_follows(output, state)
    return [*command, "--state", str(state)]


def _write_what_follows(output: Path, file: Path) -> None:
    """Write the catalog or the states in an output, as README.md says."""
    with output.open() as lines:
        file.write_text(json.dumps(catalog_or_states(lines)))
