"""Facts about the machine that the figures depend on."""

import os
import platform
from typing import Any

_GIGABYTE = 1 << 30
_QUIET_LOAD_PER_CORE = 0.5


def machine() -> dict[str, Any]:
    """Return cores, memory, system, Python version and load, but nothing that identifies the machine."""
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
    """Return the facts in one line, with a warning if the machine was busy."""
    text = f"{facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}, Python {facts['python']}"
    if facts["load_before"] > facts["cores"] * _QUIET_LOAD_PER_CORE:
        text += (
            f". The machine was busy with other work (load {facts['load_before']} at the start): wall times and "
            "their ratios are not reliable"
        )
    return text
