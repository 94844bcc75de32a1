"""``python -m pipelines.simulators``: runs an operator's source systems until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from pipelines.simulators.launch import start_simulators
from pipelines.simulators.server import ServerStartError


def write_environment(path: Path, variables: dict[str, str]) -> None:
    """Write ``NAME=value`` lines, readable by the owner only, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.chmod(0o600)
    temporary.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    temporary.replace(path)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.simulators", description=__doc__)
    parser.add_argument("--operator", required=True, help="a name under pipelines/reference/, or a folder")
    parser.add_argument("--data-root", type=Path, default=Path("var/simulators"), help="where generated data is kept")
    parser.add_argument("--environment-file", type=Path, help="written when all systems listen")
    parser.add_argument("--history-days", type=int, default=200)
    parser.add_argument("--pi-days", type=int, default=14)
    parser.add_argument("--ec", choices=("rest", "oracle"), default="rest", help="how Energy Components is served")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; 0 after a clean stop, 1 when the systems could not start."""
    arguments = _arguments(argv)
    stop, started = threading.Event(), threading.Event()

    def handle(*_: object) -> None:
        if not started.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)

    def progress(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        running = start_simulators(
            arguments.operator,
            data_root=arguments.data_root,
            history_days=arguments.history_days,
            pi_days=arguments.pi_days,
            progress=progress,
            ec=arguments.ec,
        )
    except (ValueError, ServerStartError) as error:
        sys.stderr.write(f"the source systems did not start: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped before the source systems were up\n")
        return 1
    with running:
        started.set()
        if arguments.environment_file is not None:
            write_environment(arguments.environment_file, running.environment())
            progress(f"environment written to {arguments.environment_file}")
        progress("all source systems listen; Ctrl-C stops them")
        stop.wait()
        progress("stopping the source systems")
    progress("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
