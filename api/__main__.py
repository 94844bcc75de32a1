"""`python -m api`: serves on HOST and PORT with one worker; a second worker buys nothing for answers that are ready bytes."""

import sys

from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from api.settings import Settings, SettingsError
from api.telemetry import logging_config

STOP_SECONDS = 20
HEADER_MILLISECONDS = 10_000


def main() -> int:
    """Serves until it is told to stop; 2 for settings that cannot be used."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    Server(
        "api.asgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        websockets=False,
        workers=1,
        # What is in flight when the server is told to stop may end within this.
        workers_kill_timeout=STOP_SECONDS,
        # A connection that sends its head slowly is closed; a body is bounded by the request's own limit of bytes.
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=logging_config(settings.log_level),
    ).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
