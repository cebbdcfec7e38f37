"""How much memory there is, how much a run will take, and how much it took at its peak."""

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
    return (peak or _peak_of_process()) / 2**20


def predicted_mb(program_bytes: int, checkpoint_bytes: int = 0) -> float:
    """What `peak_memory_mb` will say when a program that takes so many bytes at once has run.

    The program comes on top of what is in use now; the peak may already have been higher, as while
    compiling. Writing a checkpoint takes a copy of its bytes, which the host's allocator keeps.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    in_use = max(entry.get("bytes_in_use", 0) for entry in stats)
    if any("peak_bytes_in_use" in entry for entry in stats):
        before = max(entry.get("peak_bytes_in_use", 0) for entry in stats)
    else:
        in_use, before = _held_by_process() + checkpoint_bytes, _peak_of_process()
    return max(in_use + program_bytes, before) / 2**20


def _peak_of_process() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _held_by_process() -> int:
    """Resident now; where a host does not say, the peak so far."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return _peak_of_process()


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
