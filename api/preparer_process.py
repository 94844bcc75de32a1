"""`python -m api.preparer_process FD LOG_LEVEL gives-way|as-anybody`: makes a release's first answers for the process that serves,
when nobody else needs the processor.

Ends when the serving process closes its end of the connection, however that process ended.
"""

import os
import signal
import sys
from contextlib import suppress


def step_back() -> None:
    """Lets every other process go first, at once: an idle process is interrupted where a nice one may end its turn."""
    with suppress(OSError):
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.nice(19)


def main(descriptor: int, log_level: str, priority: str) -> int:
    """Does one task after another until the connection ends."""
    if priority == "gives-way":
        step_back()
    # A terminal's interrupt is for the server, which lets requests in flight end first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imported at low priority.
    from multiprocessing.connection import Connection

    from api import preparer_messages as messages
    from api.preparer_work import answers, frames
    from api.telemetry import configure_logging, logger

    configure_logging(log_level)
    connection = Connection(descriptor)
    while True:
        try:
            task = messages.read_task(connection.recv_bytes())
        except (EOFError, OSError):
            return 0
        try:
            for frame in frames(answers(task)):
                connection.send_bytes(messages.encode(frame))
        except BrokenPipeError:
            return 0
        except Exception as fault:  # noqa: BLE001 - the serving process prepares the answers itself and says why
            logger.debug("task failed", exc_info=fault)
            connection.send_bytes(messages.encode([messages.Refused(f"{type(fault).__name__}: {fault}")]))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
