"""The WSGI application for `gunicorn config.wsgi`."""

import gc
import json
import os
import signal
from collections.abc import Iterable
from io import BytesIO
from types import FrameType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from gunicorn.errors import AppImportError

from config import environment
from sync.kernel import process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# The proxy cuts longer bodies here if they don't say their length (ops/Caddyfile), so one that is as long may be cut.
TOO_LONG = 12_000_000


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer a request. A body that comes in pieces, without its length, is read first, as Django would read nothing.

    gunicorn ends such a body where it ends (`wsgi.input_terminated`).
    """
    if "HTTP_TRANSFER_ENCODING" in environ:
        body = environ["wsgi.input"].read(TOO_LONG)
        if len(body) == TOO_LONG:
            from sync.api import errors  # imports models, which Django has set up by now

            # Only programs send such bodies, so the answer has the API's form.
            start_response("413 Content Too Large", [("Content-Type", "application/json")])
            return [json.dumps(errors.error_body(413, "too_large", errors.TOO_LARGE)).encode()]
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
    return site(environ, start_response)


try:
    site = get_wsgi_application()
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
