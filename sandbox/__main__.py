"""`python -m sandbox`: build the simulator from its options and run it."""

import argparse
import gc
import logging
import os
import signal
import sys
from dataclasses import dataclass
from types import FrameType

import waitress

from sandbox import web
from sandbox.api import Api
from sandbox.api_limits import PLANS, Plan
from sandbox.control import Control
from sandbox.model import Clock, Store, World
from sandbox.pages import Pages
from sandbox.webhooks import Deliveries, Sender


@dataclass(frozen=True)
class Settings:
    token: str | None = None  # the only one that is accepted; None: any
    signing_secret: str | None = None  # None: webhooks are not signed
    data: str | None = None  # the file in which the boards are kept; None: in memory
    npd: web.NpdAddress | None = None
    host: str = "127.0.0.1"  # to listen on
    plan: Plan | None = None  # None: nothing is limited


def build(settings: Settings) -> web.Application:
    world = World(Clock(), Store(settings.data))
    deliveries = Deliveries(world, Sender(settings.signing_secret, settings.npd))
    api = Api(world, deliveries, settings.token, settings.plan)
    world.on_events = deliveries.on_events
    deliveries.start()
    control = Control(world, api, deliveries)
    npd_url = settings.npd.public if settings.npd else None
    pages = Pages(control, npd_url)
    routes = [web.route("POST", "/v2", api.post), *control.routes(), *pages.routes()]
    return web.Application(routes, web.Guard(settings.host))


# The largest plan allows 250 requests at once; the rest are for pages.
THREADS = 280
CONNECTIONS = 1_000
# A full collection walks every item of every board, and with Python's defaults one runs every few requests.
GC_THRESHOLDS = (50_000, 20, 100)
FROM_ENVIRONMENT = ""


def parse_options() -> argparse.Namespace:
    """Parse the options; secrets can come from the environment, which `ps` doesn't show.

    Webhooks are signed only with the option --signing-secret: those of a personal token aren't.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A Monday.com simulator.")
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    accepted = "the API token that is accepted; without any, every one is (default: MONDAY_API_KEY of the environment)"
    add("--token", default=os.environ.get("MONDAY_API_KEY"), help=accepted)
    signing = "sign webhooks, as an app's are; without a value, with MONDAY_SIGNING_SECRET of the environment"
    add("--signing-secret", nargs="?", const=FROM_ENVIRONMENT, help=signing)
    add("--data", metavar="FILE", help="keep the boards in this file; without it, in memory")
    add("--npd-url", help="where NPD is, for links from items to records")
    via = "the address by which calls from here reach --npd-url, where that is another one (containers)"
    add("--npd-via", help=via)
    plan = "refuse what is over this plan's published limits; without it nothing is limited"
    add("--plan", choices=list(PLANS), help=plan)
    options = parser.parse_args()
    if options.signing_secret == FROM_ENVIRONMENT:
        options.signing_secret = os.environ.get("MONDAY_SIGNING_SECRET")
        if not options.signing_secret:
            parser.error("--signing-secret has no value, and MONDAY_SIGNING_SECRET is not set. Set one of them.")
    if options.npd_via and not options.npd_url:
        parser.error("--npd-via is another way to --npd-url, which is not given. Give both.")
    return options


def main() -> int:
    options = parse_options()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    # waitress logs a warning for every request that finds no free thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    settings = Settings(
        token=options.token,
        signing_secret=options.signing_secret,
        data=options.data,
        npd=web.NpdAddress(options.npd_url.rstrip("/"), options.npd_via) if options.npd_url else None,
        host=options.host,
        plan=PLANS.get(options.plan),
    )
    gc.set_threshold(*GC_THRESHOLDS)
    sandbox = build(settings)
    try:
        server = waitress.create_server(
            sandbox,
            host=options.host,
            port=options.port,
            threads=THREADS,
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,  # select() fails above 1,024 file descriptors
            ident="sandbox",
        )
    except OSError as failure:
        where = f"{options.host}:{options.port}"
        print(f"The sandbox can't listen on {where}: {failure.strerror}. Choose another --port.", file=sys.stderr)
        return 1

    def stop(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"Monday sandbox on http://{options.host}:{options.port}/ (boards) and /v2 (API)", flush=True)
    try:
        server.run()
    except SystemExit:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
