"""Work that lets others go first: a build beside a server of releases takes the processor when nobody waits for it."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
NICENESS = 10


def in_background(work: Callable[[], Result]) -> Result:
    """The work's result, done in a thread of lower priority (Linux) that the threads begun in it inherit.

    A thread of its own, since a priority that was lowered may not be raised again. Raises as the work does.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="background", initializer=_step_back) as pool:
        return pool.submit(work).result()


def _step_back() -> None:
    if sys.platform.startswith("linux"):
        # Of the calling thread alone: Linux has a priority a thread.
        os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))
