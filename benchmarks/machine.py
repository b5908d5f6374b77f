"""What the figures depend on."""

import os
import platform
from typing import Any

_GIGABYTE = 1 << 30
_QUIET_LOAD_PER_CORE = 0.5


def machine() -> dict[str, Any]:
    """Cores, memory, system and Python: enough to judge figures by, nothing that names the machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIGABYTE
    return {
        "cores": cores,
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def described(facts: dict[str, Any]) -> str:
    """The facts in a line."""
    text = f"{facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}, Python {facts['python']}"
    if facts["load_before"] > facts["cores"] * _QUIET_LOAD_PER_CORE:
        text += (
            f". Other work kept the machine busy (load {facts['load_before']} at the start): wall times and "
            "their ratios are not to be relied on"
        )
    return text
