"""Open pages of the admin: fifty of them ask for a version as static/npd/live.js does, while records are saved.

    python -m bench.pages [--pages 50] [--seconds 40] [--records 100] [--saves 20]

First a person saves one contact after the other in Chromium, and waits until its page says “Synced”; nobody reloads.
Then fifty pages: half are pages of a record, which ask each second for a minute after a change, half are lists, which
ask each four; a page whose version is another one is fetched. With web, worker and beat at work a contact is saved each
second, in turn of those whose pages are open. Gate: every request is answered with 200. The times are goals: they are
the machine's.
"""

from __future__ import annotations

import argparse
import re
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import requests

from bench.calls import prepare
from bench.ground import machine
from bench.latency import BROKERS, percentile
from bench.site import Site, has_redis, site
from bench.table import Row, publish, warn

QUICK, CALM, QUICK_FOR, STALE = 1.0, 4.0, 60.0, 30.0
GOAL_MS, GOAL_SYNCED_SECONDS = 200.0, 1.5
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LISTS = ("npd/contact", "sync/syncqueue", "conflicts/syncconflict", "sync/unmatcheditem", "sync/decision")
_SYNCED = re.compile(r'id="npd-state".*?data-live-status.*?</span>\s*Synced', re.DOTALL)


@dataclass
class Saves:
    """When each record was saved last with which value, and how long its open page took to say that it is synced."""

    last: dict[str, tuple[float, str]] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)

    def check(self, record: str, html: str) -> None:
        """Note that a page shows the saved value as synced."""
        at, value = self.last.get(record, (0.0, ""))
        if value and f'value="{value}"' in html and _SYNCED.search(html):
            self.waited.append(time.monotonic() - at)
            self.last[record] = (at, "")


class OpenPage(threading.Thread):
    """One page that somebody looks at; it asks until `ended`."""

    def __init__(self, here: Site, cookies: dict[str, str], record: str, path: str, saves: Saves) -> None:
        super().__init__(daemon=True)
        self.url, self.record, self.path, self.saves = here.url, record, path, saves
        self.session, self.ended = requests.Session(), threading.Event()
        self.session.trust_env = False
        self.session.cookies.update(cookies)
        self.milliseconds: list[float] = []
        self.fetches: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """Ask as the script does."""
        seen, fetched, quick_until = "", time.monotonic(), time.monotonic() + QUICK_FOR
        params = {"record": f"contact:{self.record}"} if self.record else {}
        while not self.ended.wait(QUICK if self.record and time.monotonic() < quick_until else CALM):
            answer = self._get("/admin/live/", self.milliseconds, params=params)
            if answer is None:
                continue
            found = answer.json()
            version = found["record"] if self.record else f"{found['site']}{found['badges']}"
            if version != seen or time.monotonic() - fetched > STALE:
                quick_until = time.monotonic() + QUICK_FOR if version != seen else quick_until
                fetched = time.monotonic()
                page = self._get(self.path, self.fetches, headers={"X-NPD-Live": "1"})
                if page is not None and self.record:
                    self.saves.check(self.record, page.text)
            seen = version

    def _get(self, path: str, times: list[float], **more: Any) -> requests.Response | None:
        begun = time.monotonic()
        try:
            answer = self.session.get(self.url + path, timeout=30, allow_redirects=False, **more)
        except requests.RequestException as error:
            self.failures.append(str(error))
            return None
        times.append((time.monotonic() - begun) * 1000)
        if answer.status_code != 200:
            self.failures.append(f"{path}: {answer.status_code}")
            return None
        return answer


def cookies_of_administrator() -> dict[str, str]:
    """Of a browser in which an administrator has signed in."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client()
    browser.force_login(User.objects.create_superuser("dora", "dora@example.com", "x"))
    return {settings.SESSION_COOKIE_NAME: browser.cookies[settings.SESSION_COOKIE_NAME].value}


def saved_in_browser(here: Site, cookies: dict[str, str], records: Sequence[str]) -> list[float]:
    """From the click on Save until the open page says Synced, of each record; nothing where there is no Chromium."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        warn("There is no Chromium, so no save is measured in a browser.")
        return []
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        context = browser.new_context(base_url=here.url)
        context.add_cookies([{"name": name, "value": value, "url": here.url} for name, value in cookies.items()])
        page = context.new_page()
        for number, record in enumerate(records):
            page.goto(f"/admin/npd/contact/{record}/change/")
            page.fill("#id_role_title", f"Typed {number}")
            begun = time.monotonic()
            page.get_by_role("button", name="Save and continue editing").click()
            # Only a page that was loaded after the save has the value as its attribute.
            page.locator(f'body:has(#id_role_title[value="Typed {number}"]) #npd-state .npd-badge-ok').wait_for()
            found.append(time.monotonic() - begun)
        browser.close()
    return found


def cpu_seconds(here: Site) -> float:
    """The processor time of the web server's processes so far."""
    process = here.children["web"].process
    assert process is not None
    web = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (web, *web.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def measure(broker: str, pages: int, seconds: float, records: int, saves_in_browser: int) -> list[Row]:
    """Save in a browser; then open the pages, save a contact each second, count."""
    with site(BROKERS[broker], LOG_LEVEL="WARNING") as here:
        from npd.models import Contact

        here.start("web")
        prepare(records)
        here.start("worker", "beat")
        contacts = [str(pk) for pk in Contact.objects.order_by("pk").values_list("pk", flat=True)]
        watched = contacts[: pages // 2]
        cookies, saves = cookies_of_administrator(), Saves()
        # The first is no measure: each process does something for the first time.
        typed = saved_in_browser(here, cookies, contacts[: saves_in_browser + 1])[1:]
        opened = [OpenPage(here, cookies, pk, f"/admin/npd/contact/{pk}/change/", saves) for pk in watched]
        opened += [
            OpenPage(here, cookies, "", f"/admin/{LISTS[n % len(LISTS)]}/", saves) for n in range(pages - len(opened))
        ]
        for page in opened:
            page.start()
            time.sleep(QUICK / len(opened))  # people don't open their pages at the same moment
        begun, before = time.monotonic(), cpu_seconds(here)
        for number in range(int(seconds)):
            contact = Contact.objects.get(pk=watched[number % len(watched)])
            contact.role_title = f"Saved {number}"
            saves.last[str(contact.pk)] = (time.monotonic(), contact.role_title)
            contact.save()
            time.sleep(max(0.0, begun + number + 1 - time.monotonic()))
        lasted, used = time.monotonic() - begun, cpu_seconds(here) - before
        time.sleep(2 * CALM)  # the last saves arrive
        for page in opened:
            page.ended.set()
        for page in opened:
            page.join(timeout=35)
        alone = Row("A save is “Synced” on its page in Chromium", *of_saves(typed, saves_in_browser), gate=False)
        return [alone, *rows_of(opened, saves, lasted, used / lasted, int(seconds))]


def of_saves(waited: Sequence[float], saves: int) -> tuple[str, str, bool]:
    """Target, figures and whether it was held, of the seconds from a save to Synced."""
    ordered = sorted(waited)
    p50 = percentile(ordered, 0.5)
    shown = f"p50 {p50:.2f} s, p95 {percentile(ordered, 0.95):.2f} s ({len(ordered)} of {saves} saves seen)"
    return f"p50 ≤ {GOAL_SYNCED_SECONDS:g} s", shown, p50 <= GOAL_SYNCED_SECONDS


def rows_of(opened: Sequence[OpenPage], saves: Saves, lasted: float, cores: float, saved: int) -> list[Row]:
    """What was measured, as rows."""
    asked = sorted(one for page in opened for one in page.milliseconds)
    fetched = sorted(one for page in opened for one in page.fetches)
    failures = [one for page in opened for one in page.failures]
    p99 = percentile(asked, 0.99)
    rate = f"{(len(asked) + len(fetched)) / lasted:.0f} requests a second"
    speed = (
        f"{rate}; version p50 {percentile(asked, 0.5):.0f} ms, p95 {percentile(asked, 0.95):.0f} ms, p99 {p99:.0f} ms"
    )
    return [
        Row(f"{len(opened)} open pages", f"p99 ≤ {GOAL_MS:g} ms", speed, p99 <= GOAL_MS, gate=False),
        Row("… answered with 200", "all", failures[0] if failures else "all", not failures),
        Row(
            "… pages fetched",
            "–",
            f"{len(fetched):,}, p50 {percentile(fetched, 0.5):.0f} ms, p95 {percentile(fetched, 0.95):.0f} ms",
            True,
            gate=False,
        ),
        Row("… processor of the web server", "≤ 1 of 2 cores", f"{cores:.2f} cores", cores <= 1, gate=False),
        Row("… a save is “Synced” on its open page", *of_saves(saves.waited, saved), gate=False),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--saves", type=int, default=20)
    asked = parser.parse_args()
    broker = "redis" if has_redis() else "embedded"
    print(f"Open pages, with the {broker} broker ({machine()})")
    return publish(measure(broker, asked.pages, asked.seconds, asked.records, asked.saves))


if __name__ == "__main__":
    raise SystemExit(main())
