"""The WSGI application that waitress serves."""

import os

from django.core.wsgi import get_wsgi_application

from config import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

telemetry.start_telemetry("web")  # before the middleware is loaded: tracing inserts its own

application = get_wsgi_application()
