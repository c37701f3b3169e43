"""The drawer of a demo: faults of the API, what happens to webhooks, the clock, the plan."""

import json
from dataclasses import asdict
from html import escape
from typing import Any

from sandbox.api import Api
from sandbox.asking import fault_from
from sandbox.clock import Clock
from sandbox.plans import PLANS
from sandbox.webhooks.deliveries import Deliveries

FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("500", {"status": 500}),
    ("503, a page", {"status": 503}),
    ("429, wait 10 s", {"status": 429, "retry_after": 10}),
    ("429, no wait said", {"status": 429}),
    ("Minute's complexity is used up", {"limit": "complexity", "retry_in": 10}),
    ("Day's calls are used up", {"limit": "daily"}),
    ("Slow by 5 s", {"slow": 5}),
    ("Write lost on the way", {"timeout": "before"}),
    ("Write done, its answer lost", {"timeout": "after"}),
    ("Every third of a batch fails", {"partial": {"every": 3}}),
    ("Cursor is too old", {"cursor": "expired"}),
    ("Listing is empty", {"listing": "empty"}),
)
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Hold all", {"rule": "hold"}),
    ("Drop the next", {"rule": "drop"}),
    ("Drop every 3rd", {"rule": "drop", "every": 3, "count": None}),
    ("Double the next", {"rule": "double"}),
    ("Next a minute late", {"rule": "delay", "seconds": 60}),
    ("Shuffle the next 5", {"rule": "reorder", "n": 5}),
)
RELEASES = (("Send", "send"), ("Send twice", "double"), ("Shuffle", "shuffle"), ("Drop", "drop"))
UNSAID = ("body", "header", "seconds")  # of a fault that the page has no name for
LATENCIES = ((0, "at once"), (200, "0.2 s"), (600, "0.6 s"), (2000, "2 s"))
STEPS = ((60, "+1 min"), (3600, "+1 h"), (86_400, "+1 day"))


class Tools:
    """What the drawer shows and offers; each button is a request at `/_control/`."""

    def __init__(self, clock: Clock, api: Api, deliveries: Deliveries) -> None:
        self._clock = clock
        self._api = api
        self._deliveries = deliveries

    def html(self) -> str:
        """The drawer's inside, as things stand."""
        return self._calls() + self._webhooks() + self._plan() + self._time() + RESET

    def _calls(self) -> str:
        buttons = "".join(_button(words, "faults", fault) for words, fault in FAULTS)
        left = self._api.faults.left()
        waiting = "".join(f"<li>{escape(_fault_words(fault))}</li>" for fault in left)
        clear = _button("No more faults", "faults", None, "DELETE") if left else ""
        latencies = _select(
            "Each write takes",
            "latency",
            [({"mutation_ms": ms}, words) for ms, words in LATENCIES],
            {"mutation_ms": round(self._api.latency.mutation_ms)},
        )
        return (
            f'<section><h3>The next API call</h3><div class="wrap">{buttons}</div>'
            f"{_list('Still to come', waiting)}{clear}{latencies}</section>"
        )

    def _webhooks(self) -> str:
        buttons = "".join(_button(words, "webhooks", rule) for words, rule in RULES)
        rules = self._deliveries.rules.all()
        listed = "".join(f"<li>{escape(rule.words())}</li>" for rule in rules)
        clear = _button("No more rules", "webhooks", None, "DELETE") if rules else ""
        held = self._deliveries.held()
        return (
            f'<section><h3>Webhooks</h3><div class="wrap">{buttons}</div>'
            f"{_list('In force', listed)}{clear}{_held(held) if held else ''}</section>"
        )

    def _plan(self) -> str:
        shown = self._api.limits.shown()
        plans: list[tuple[dict[str, Any], str]] = [({"plan": None}, "no limits")]
        plans += [({"plan": name}, name) for name in PLANS]
        choice = _select("Limits of the plan", "plan", plans, {"plan": shown["plan"]})
        return f'<section><h3>Allowance</h3>{choice}<p class="mute small">{_used(shown)}</p></section>'

    def _time(self) -> str:
        offset = self._clock.offset_seconds
        steps = "".join(
            _button(words, "clock", {"offset_seconds": offset + seconds}) for seconds, words in STEPS
        )
        back = _button("Real time", "clock", {"offset_seconds": 0}) if offset else ""
        return (
            f'<section><h3>Clock</h3><p class="mute small">It is {self._clock.stamp()} here.</p>'
            f'<div class="wrap">{steps}{back}</div></section>'
        )


def _used(shown: dict[str, Any]) -> str:
    used, limits = shown["used"], shown["limits"]
    if limits is None:
        return f"{used['day']:,.0f} calls today; nothing is refused."
    return (
        f"{used['day']:,.0f} of {limits['day']:,} calls today, {used['minute']:,} of {limits['minute']:,} this "
        f"minute, {used['points']:,} of {limits['points']:,} points this minute."
    )


def _held(count: int) -> str:
    words = "1 delivery is held" if count == 1 else f"{count:,} deliveries are held"
    buttons = "".join(_button(text, "webhooks/release", {"how": how}) for text, how in RELEASES)
    return f'<p class="small held"><b>{words}</b></p><div class="wrap">{buttons}</div>'


def _fault_words(fault: dict[str, Any]) -> str:
    about = _without_count(fault)
    known = (words for words, one in FAULTS if _without_count(asdict(fault_from(one))) == about)
    own = next(known, "") or ", ".join(f"{key} {value}" for key, value in about.items() if key not in UNSAID)
    return own + (f", {fault['count']} times" if fault["count"] > 1 else "")


def _without_count(fault: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fault.items() if value is not None and key not in ("count", "skip")}


def _list(title: str, lines: str) -> str:
    return f'<p class="mute small">{title}:</p><ul class="small">{lines}</ul>' if lines else ""


def _button(words: str, name: str, body: Any, method: str = "POST") -> str:
    return (
        f'<button class="button" type="button" data-send="/_control/{name}" data-method="{method}" '
        f'data-body="{escape(json.dumps(body))}">{escape(words)}</button>'
    )


def _select(words: str, name: str, options: list[tuple[dict[str, Any], str]], now: dict[str, Any]) -> str:
    known = any(value == now for value, _ in options)
    if not known:
        options = [*options, (now, ", ".join(str(one) for one in now.values()))]
    listed = "".join(
        f'<option value="{escape(json.dumps(value))}"{" selected" if value == now else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return (
        f'<label class="small line">{words} <select class="button" data-send="/_control/{name}">{listed}'
        "</select></label>"
    )


RESET = """<section><h3>Start again</h3>
<button class="button danger" type="button" id="reset">Forget everything…</button></section>"""
