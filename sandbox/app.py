"""The sandbox put together."""

from dataclasses import dataclass
from typing import Any

from sandbox.api import Api, Call, CallLog
from sandbox.api_limits import Plan
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.http import Application, Guard, NpdAddress, route
from sandbox.model import WorldEvent
from sandbox.oauth import OAuth
from sandbox.pages.sidebar import Tools, call_line, delivery_line
from sandbox.pages.views import Live, Pages, Watcher
from sandbox.webhooks.deliveries import Deliveries, Delivery, DeliveryStore, Sender
from sandbox.world import World

LINES = 30


@dataclass(frozen=True)
class Settings:
    site_url: str
    token: str | None = None
    signing_secret: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    data: str | None = None
    page_url: str | None = None
    npd: NpdAddress | None = None
    npd_token: str | None = None
    host: str = "127.0.0.1"
    plan: Plan | None = None


@dataclass(frozen=True)
class Sandbox:
    application: Application
    live: Live


def build(settings: Settings) -> Sandbox:
    world = World(Clock(), settings.data)
    world.site_url = settings.site_url
    world.page_url = settings.page_url or settings.site_url
    live = Live()
    deliveries = Deliveries(
        world,
        Sender(settings.signing_secret, settings.npd),
        DeliveryStore(settings.data),
        lambda delivery: live.publish("delivery", lambda: _delivery_message(delivery)),
    )
    calls = CallLog(lambda call: live.publish("call", lambda: _call_message(call, api)))
    oauth = OAuth(world.clock, settings.client_id, settings.client_secret)
    api = Api(world, deliveries, calls, settings.token, settings.plan, oauth)
    watcher = _watcher(settings, live)
    world.listen(deliveries.on_events)
    world.listen(lambda happened: _notify_pages(live, happened))
    deliveries.start()

    def history() -> list[tuple[str, Any]]:
        first = [("call", _call_message(call, api)) for call in calls.last(LINES)]
        first += [("delivery", _delivery_message(delivery)) for delivery in deliveries.last(LINES)]
        return first + ([("npd", watcher.state)] if watcher else [])

    npd_url = settings.npd.public if settings.npd else None
    pages = Pages(world, live, npd_url, history, Tools(world.clock, api, deliveries))
    routes = [
        route("POST", "/v2", api.post),
        *Control(world, api, deliveries, live).routes(),
        *oauth.routes(),
        *pages.routes(),
    ]
    application = Application(routes, Guard(settings.host, world.site_url, world.page_url))
    return Sandbox(application, live)


def _watcher(settings: Settings, live: Live) -> Watcher | None:
    if not settings.npd or not settings.npd_token:
        return None
    watcher = Watcher(settings.npd, settings.npd_token, live.watched, lambda state: live.publish("npd", state))
    watcher.start()
    return watcher


def _call_message(call: Call, api: Api) -> dict[str, str]:
    return {"id": f"call-{call.id}", "html": call_line(call), "spent": api.limits.sentence()}


def _delivery_message(delivery: Delivery) -> dict[str, str]:
    return {"id": f"delivery-{delivery.id}", "html": delivery_line(delivery)}


def _notify_pages(live: Live, happened: list[WorldEvent]) -> None:
    for one in happened:
        if one.item is None:
            live.publish("board", {"kind": one.kind}, one.board_id)
        else:
            about = {"id": one.item.id, "kind": one.kind, "by": one.user_id}
            live.publish("item", about, one.board_id)
