"""The ASGI application, for those who deploy on an ASGI server."""

import os

from django.core.asgi import get_asgi_application

from config import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

telemetry.start_telemetry("web")  # before the middleware is loaded: tracing inserts its own

application = get_asgi_application()
