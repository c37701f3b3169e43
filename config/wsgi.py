"""The WSGI application, for gunicorn: `gunicorn config.wsgi`, as the Procfile says."""

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
    if environment.database_url() == environment.NOWHERE:
        raise ImproperlyConfigured(environment.NO_SERVER)
    # Else the first request imports the views, and each collection of garbage goes through them.
    get_resolver().url_patterns  # noqa: B018 - reading it imports them
except ImproperlyConfigured as error:
    # gunicorn prints the sentence and ends, where any other error is a trace.
    raise AppImportError(f"Settings: {error}") from error
gc.collect()
process.spare_loaded_code()

former = signal.getsignal(signal.SIGTERM)


def end_soon(number: int, frame: FrameType | None) -> None:
    """End as gunicorn does, and let a request that works the queue end after its batch."""
    process.request_shutdown()
    former(number, frame)  # type: ignore[operator, misc]


# gunicorn's process has its own by now; what imports this elsewhere has none.
if callable(former):
    signal.signal(signal.SIGTERM, end_soon)
