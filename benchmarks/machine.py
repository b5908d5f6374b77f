"""Facts about the machine that the figures depend on."""

import os
import platform

_GIGABYTE = 1 << 30
_QUIET_LOAD_PER_CORE = 0.5


def described_machine() -> str:
    """Return cores, memory, system and Python version, nothing that identifies it, and whether it was busy."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIGABYTE
    system = f"{platform.system()} {platform.machine()}"
    text = f"{cores} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    if load > cores * _QUIET_LOAD_PER_CORE:
        text += (
            f". The machine was busy with other work (load {load:.2f} at the start): wall times and their ratios are "
            "not reliable"
        )
    return text
