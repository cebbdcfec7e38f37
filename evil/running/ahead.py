"""Compiling what a later part of a run needs while an earlier one runs.

Compiling takes one core, and so does compiling the earlier part: on two they go side by side. But
tracing is Python's, where only one goes at a time: whoever is waited for should have traced first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def prepare(*jobs: Callable[[], Any]) -> tuple[Callable[[], Any], ...]:
    """Jobs for a thread of their own, one after the other, which begin at once when told to.

    Returns what tells them (again and again changes nothing), and a function for each job that
    begins them at the latest, and waits for it: it returns what the job returned, or raises what it
    raised.
    """

    @functools.cache
    def begin() -> list[Future[Any]]:
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
        futures = [pool.submit(job) for job in jobs]
        pool.shutdown(wait=False)
        return futures

    return begin, *(functools.partial(_result, begin, index) for index in range(len(jobs)))


def _result(begin: Callable[[], list[Future[Any]]], index: int) -> Any:
    return begin()[index].result()
