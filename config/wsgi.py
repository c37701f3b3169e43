"""The WSGI application for `gunicorn config.wsgi`."""

import gc
import os
import signal
from types import FrameType

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from gunicorn.errors import AppImportError

from config import environment
from sync.kernel import process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
try:
    application = get_wsgi_application()
    if environment.database_url() == environment.UNREACHABLE_URL:
        raise ImproperlyConfigured(environment.NO_DATABASE_MESSAGE)
    # Otherwise the first request would import the views, and each garbage collection would visit them.
    get_resolver().url_patterns  # noqa: B018 - reading it imports them
except ImproperlyConfigured as error:
    # For this error gunicorn prints the sentence instead of a traceback.
    raise AppImportError(f"Settings: {error}") from error
gc.collect()
process.freeze_loaded_objects()

former = signal.getsignal(signal.SIGTERM)


def end_soon(number: int, frame: FrameType | None) -> None:
    """End as gunicorn does, and make a request that works the queue end after its batch."""
    process.request_shutdown()
    former(number, frame)  # type: ignore[operator, misc]


# Only gunicorn's process has a handler by now, not others that import this module.
if callable(former):
    signal.signal(signal.SIGTERM, end_soon)
