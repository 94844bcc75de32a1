"""The application as a server loads it: `granian --interface asgi --no-ws --loop uvloop api.asgi:app`."""

from api.app import create_app
from api.settings import Settings
from api.telemetry import configure_logging

_settings = Settings.from_environment()
configure_logging(_settings.log_level)
app = create_app(_settings)
