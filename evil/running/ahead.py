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
    begins it and those after it at the latest, and waits for it: it returns what the job returned,
    or raises what it raised. Jobs before it are left alone: whoever resumes may not need them.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")  # no thread before begin
    begun: dict[int, Future[Any]] = {}

    def begin(first: int = 0) -> None:
        for index in range(first, len(jobs)):
            if index not in begun:
                begun[index] = pool.submit(jobs[index])

    def result(index: int) -> Any:
        begin(index)
        return begun[index].result()

    return begin, *(functools.partial(result, index) for index in range(len(jobs)))
