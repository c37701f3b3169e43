"""`python -m sandbox`: run the simulator."""

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import waitress

from sandbox import replay
from sandbox.api_limits import PLANS
from sandbox.app import Settings, build
from sandbox.http import NpdAddress

# The largest plan lets 250 requests in at once, and open pages take a thread each.
THREADS = 280
CONNECTIONS = 1_000
# A full collection walks every item of every board, and Python's defaults make one each few requests.
GARBAGE = (50_000, 20, 100)
ENVIRONMENT_OPTIONS = ""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The options; secrets that are not on the command line come from the environment, which `ps` doesn't show.

    A signing secret in the environment alone signs nothing: without the option, webhooks are those of a personal token.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A Monday.com simulator.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--token",
        default=os.environ.get("MONDAY_API_KEY"),
        help="the API token that is accepted (default: MONDAY_API_KEY of the environment); without any, every one is",
    )
    parser.add_argument(
        "--signing-secret",
        nargs="?",
        const=ENVIRONMENT_OPTIONS,
        help="sign webhooks, as an app's are; without a value, with MONDAY_SIGNING_SECRET of the environment",
    )
    parser.add_argument(
        "--client-id",
        default=os.environ.get("MONDAY_CLIENT_ID"),
        help="the app that may ask for authorization (default: MONDAY_CLIENT_ID of the environment, else its own)",
    )
    parser.add_argument(
        "--client-secret",
        default=os.environ.get("MONDAY_CLIENT_SECRET"),
        help="its secret (default: MONDAY_CLIENT_SECRET of the environment, else its own)",
    )
    parser.add_argument(
        "--replay",
        metavar="FILE",
        help="answer with what `manage.py monday_check --probe` recorded instead of playing Monday",
    )
    parser.add_argument("--data", metavar="FILE", help="keep the boards in this file; without it, in memory")
    parser.add_argument("--npd-url", help="where NPD is, for links from items to records")
    parser.add_argument(
        "--npd-token",
        default=os.environ.get("NPD_TOKEN"),
        help="NPD's API token, to show why an item waits (default: NPD_TOKEN of the environment)",
    )
    parser.add_argument(
        "--plan",
        choices=list(PLANS),
        help="refuse what is over this plan's published limits; without it nothing is limited",
    )
    parser.add_argument(
        "--npd-via", help="the address by which calls from here reach --npd-url, where that is another one (containers)"
    )
    parser.add_argument("--site-url", help="how callers reach this sandbox (default: http://HOST:PORT)")
    parser.add_argument("--page-url", help="how browsers reach it, for links (default: --site-url)")
    chosen = parser.parse_args(given)
    if chosen.signing_secret == ENVIRONMENT_OPTIONS:
        chosen.signing_secret = os.environ.get("MONDAY_SIGNING_SECRET")
        if not chosen.signing_secret:
            parser.error("--signing-secret has no value, and MONDAY_SIGNING_SECRET is not set. Set one of them.")
    if chosen.npd_via and not chosen.npd_url:
        parser.error("--npd-via is another way to --npd-url, which is not given. Give both.")
    return chosen


def main() -> int:
    options = arguments()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    # waitress warns of every request that finds no free thread: in a burst a line each.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    settings = Settings(
        site_url=(options.site_url or f"http://{options.host}:{options.port}").rstrip("/"),
        token=options.token,
        signing_secret=options.signing_secret,
        client_id=options.client_id,
        client_secret=options.client_secret,
        data=options.data,
        page_url=options.page_url.rstrip("/") if options.page_url else None,
        npd=NpdAddress(options.npd_url.rstrip("/"), options.npd_via) if options.npd_url else None,
        npd_token=options.npd_token,
        host=options.host,
        plan=PLANS.get(options.plan),
    )
    gc.set_threshold(*GARBAGE)
    sandbox = None if options.replay else build(settings)
    try:
        server = waitress.create_server(
            sandbox.application if sandbox else replay.build(Path(options.replay), options.host, settings.site_url),
            host=options.host,
            port=options.port,
            threads=THREADS,
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,  # select() fails above 1,024 file descriptors
            # Without it waitress doesn't read while a request is worked, and sees nobody hang up (`client_gone`).
            channel_request_lookahead=1,
            ident="sandbox",
        )
    except replay.UnreadableRecording as failure:
        print(failure, file=sys.stderr)
        return 1
    except OSError as failure:
        print(
            f"The sandbox can't listen on {options.host}:{options.port}: {failure.strerror}. Choose another --port.",
            file=sys.stderr,
        )
        return 1

    def stop(signum: int, frame: FrameType | None) -> None:
        if sandbox:
            sandbox.live.close()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    where = f"{settings.site_url} (boards), " if sandbox else f"the answers recorded in {options.replay}, "
    print(f"Monday sandbox on {where}{settings.site_url}/v2 (API)", flush=True)
    try:
        server.run()
    except SystemExit:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
