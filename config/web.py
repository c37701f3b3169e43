"""The web process: waitress on PORT. `python -m config.web [--host H] [--timeout SECONDS]`."""

import argparse
import gc
import ipaddress
import json
import os
import signal
import sys
from types import FrameType
from typing import Any

import waitress
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask

from config import environment, health

THREADS = 8
# Idle connections cost little; at waitress's own limit of 100 a few busy callers shut out everybody.
CONNECTIONS = 1_000
BODY_BYTES = 12_000_000
"""An import's file may have 10 MB, with a form around it; a larger body is refused by its length."""
TIMEOUT_SECONDS = 20
SLOWEST_BYTES_A_SECOND = 5_000
"""What a sender must reach after a request's first TIMEOUT_SECONDS: a file by a slow line may take long."""
DEBUG_FOR_ALL = (
    "DEBUG is on, and {host} is for everybody who reaches this machine: set DEBUG=false, "
    "or add --host 127.0.0.1 to try it alone."
)

NO_STATIC_FILES = (
    "STATIC_MANIFEST is on, and the static files were not collected, without which no page can be shown. "
    "Run: STATIC_MANIFEST=true python manage.py collectstatic --noinput"
)


def options(host: str, port: int, behind_proxy: bool, timeout: int = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Return waitress's settings. Only behind the proxy of an https SITE_URL is X-Forwarded-* trusted."""
    chosen: dict[str, Any] = {
        "host": host,
        "port": port,
        "threads": THREADS,
        "connection_limit": CONNECTIONS,
        "max_request_body_size": BODY_BYTES + 1,  # waitress refuses from this number on
        "channel_timeout": timeout,
        "cleanup_interval": min(timeout, 5),
        "ident": None,
    }
    if behind_proxy:
        chosen |= {
            "trusted_proxy": "*",
            "trusted_proxy_count": 1,
            "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        }
    return chosen


class ErrorResponse(ErrorTask):  # type: ignore[misc]
    """What the server itself refuses, before Django sees it; as a problem document for a program."""

    def execute(self) -> None:
        """Send waitress's own answer, in the form that the address's callers expect."""
        from config.middleware import FOR_PROGRAMS

        error = self.request.error
        if error.code < 500:
            path = getattr(self.request, "path", "")
            answer = _as_problem if path.startswith(FOR_PROGRAMS) else _as_text
            error.to_response = lambda ident=None: answer(error)
        super().execute()


def _as_problem(error: Any) -> tuple[str, list[tuple[str, str]], bytes]:
    from sync.api.problems import MEDIA_TYPE, problem_body

    code = "too_large" if error.code == 413 else str(error.reason).lower().replace(" ", "_")
    body = json.dumps(problem_body(error.code, code, _sentence(error))).encode()
    return f"{error.code} {error.reason}", [("Content-Type", MEDIA_TYPE)], body


def _as_text(error: Any) -> tuple[str, list[tuple[str, str]], bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return f"{error.code} {error.reason}", headers, f"{_sentence(error)}\n".encode()


def _sentence(error: Any) -> str:
    if error.code == 413:
        return f"The body is too large: this site takes {BODY_BYTES:,} bytes at most. Send less at once."
    return f"This request can't be read: {error.body}. Correct it and send it again."


class ServerChannel(HTTPChannel):  # type: ignore[misc]
    """A connection whose sender must make progress: waitress itself accepts a byte every two minutes."""

    error_task_class = ErrorResponse

    def handle_read(self) -> None:
        """Read on; while a request comes in, `last_activity` is when it should have begun to be this far."""
        if self.request is None:
            super().handle_read()
            if self.request is not None:
                self.request.began = self.last_activity
            return
        before = self.request
        super().handle_read()
        if self.request is before:
            came = before.header_bytes_received + before.body_bytes_received
            self.last_activity = before.began + came / SLOWEST_BYTES_A_SECOND
        elif self.request is not None:
            self.request.began = self.last_activity

    def send_continue(self) -> None:
        """Ask for the body, unless its announced length was refused already."""
        if self.request.error is None:
            super().send_continue()
        else:
            self.request.expect_continue = False


def stop_server(number: int, frame: FrameType | None) -> None:
    """Let waitress finish the requests in hand; one that works the queue (/cron/sync-queue) ends after its
    batch.
    """
    from sync.kernel import process

    process.request_shutdown()
    sys.exit(0)


def startup_refusal(host: str) -> str:
    """Return why this process must not serve here; empty where it may. Reads the settings."""
    try:
        environment.load()
        if environment.database_url() == environment.NOWHERE:
            return environment.NO_SERVER
        shows_traces = settings.DEBUG
        if settings.STATIC_MANIFEST and not (settings.STATIC_ROOT / "staticfiles.json").is_file():
            return NO_STATIC_FILES
    except ImproperlyConfigured as error:
        return f"Settings: {error}"
    return DEBUG_FOR_ALL.format(host=host) if shows_traces and not _is_local_host(host) else ""


def _is_local_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m config.web", description=main.__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on (default: every one)")  # noqa: S104
    parser.add_argument(
        "--timeout", type=int, default=TIMEOUT_SECONDS, metavar="SECONDS",
        help="for so long a connection may be silent, and a request be half sent (default: %(default)s)",
    )  # fmt: skip
    chosen = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sentence := startup_refusal(chosen.host):
        sys.exit(sentence)
    try:
        serve(chosen.host, chosen.timeout)
    except ImproperlyConfigured as error:  # errors that appear only while Django and telemetry are loaded
        sys.exit(f"Settings: {error}")


def load_application() -> WSGIHandler:
    """Load all that answers requests, which needs valid settings, and make the process ready to serve it."""
    from config.wsgi import application
    from sync.kernel import process

    # Else the first request imports the views, and they are looked through by each collection.
    get_resolver().url_patterns  # noqa: B018 - reading it imports them
    gc.collect()
    process.spare_loaded_code()
    return application


def serve(host: str, timeout: int = TIMEOUT_SECONDS) -> None:
    """Load Django and answer requests."""
    application = load_application()
    from sync.kernel import counters

    signal.signal(signal.SIGTERM, stop_server)
    BaseWSGIServer.channel_class = ServerChannel
    health.beat("web")  # says which process this is; whether it is well, /healthz says
    waitress.serve(application, **options(host, settings.PORT, settings.SITE_IS_HTTPS, timeout))
    counters.flush_webhook_counts()  # what was counted since the last flush would be lost with the process


if __name__ == "__main__":
    main()
