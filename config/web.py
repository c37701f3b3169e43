"""The web process: waitress on PORT. `python -m config.web [--host H]`."""

import argparse
import signal
import sys
from types import FrameType
from typing import Any

import waitress
from django.conf import settings

from config.wsgi import application
from sync import stopping
from sync.metrics import webhooks

THREADS = 8
# Kept connections that wait cost little; at waitress's own limit of 100 a few busy callers shut out everybody.
CONNECTIONS = 1_000


def options(host: str, port: int, behind_proxy: bool) -> dict[str, Any]:
    """Waitress's settings. Only behind the proxy that an https SITE_URL implies is X-Forwarded-* believed."""
    chosen: dict[str, Any] = {
        "host": host,
        "port": port,
        "threads": THREADS,
        "connection_limit": CONNECTIONS,
        "ident": None,
    }
    if behind_proxy:
        chosen |= {
            "trusted_proxy": "*",
            "trusted_proxy_count": 1,
            "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        }
    return chosen


def end(number: int, frame: FrameType | None) -> None:
    """Let waitress finish the requests in hand; one that works the queue (/cron/sync-queue) ends after its batch."""
    stopping.ask()
    sys.exit(0)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m config.web", description=main.__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on (default: every one)")  # noqa: S104
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    waitress.serve(application, **options(arguments.host, settings.PORT, settings.SITE_IS_HTTPS))
    webhooks.store()  # what was counted since the last time would be lost with the process


if __name__ == "__main__":
    main()
