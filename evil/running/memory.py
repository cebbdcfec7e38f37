"""How much memory a run took at its peak."""

from __future__ import annotations

import resource
import sys

import jax


def peak_memory_mb() -> float:
    """Peak memory in MiB: of the busiest device where it keeps count, else of this process."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peak = max(entry.get("peak_bytes_in_use", 0) for entry in stats)
    if not peak:
        unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return peak / 2**20
