"""Compiling what a later part of a run needs while an earlier one runs.

Compiling takes one core, and so does compiling the earlier part: on two they go side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def begin(*jobs: Callable[[], Any]) -> tuple[Callable[[], Any], ...]:
    """Begin jobs in a thread of their own, one after the other.

    Returns a function for each job that waits for it: it returns what the job returned, or raises
    what it raised.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
    waiting = tuple(pool.submit(job).result for job in jobs)
    pool.shutdown(wait=False)
    return waiting
