"""How much memory there is, and how much a run took at its peak."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

import jax


def peak_memory_mb() -> float:
    """Peak memory in MiB: of the busiest device where it keeps count, else of this process."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peak = max(entry.get("peak_bytes_in_use", 0) for entry in stats)
    if not peak:
        unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return peak / 2**20


def free_bytes() -> int:
    """Memory that a program may still take: of the fullest device, or of the host for CPUs.

    A device that does not say is taken to have enough. Where a host does not say what is available,
    its free pages count.
    """
    if jax.default_backend() != "cpu":
        stats = [device.memory_stats() or {} for device in jax.local_devices()]
        return min(
            entry.get("bytes_limit", sys.maxsize) - entry.get("bytes_in_use", 0) for entry in stats
        )
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
