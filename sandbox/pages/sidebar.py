"""What is beside the table: the log of API calls and webhooks, and a demo's faults, clock and plan."""

import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from typing import Any

from sandbox.api import Api, Call
from sandbox.api_limits import PLANS
from sandbox.clock import Clock
from sandbox.faults import fault_from
from sandbox.webhooks.deliveries import (
    DELAYED,
    DELETED,
    DROPPED,
    GIVEN_UP,
    HELD,
    RETRIES,
    RETRYING,
    Deliveries,
    Delivery,
)

Details = list[tuple[str, str]]
WORDS = {"timeout": "timeout", DELETED: "not sent"}


def call_line(call: Call) -> str:
    names = Counter(name for _, name in call.fields if name != "complexity")
    words = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in names.items()) or "no query"
    notes = [f"{call.complexity:,} points"] if call.complexity else []
    notes.append(f"{call.ms:,.0f} ms")
    if call.replayed:
        notes.append("answered again" + (", though the body differs" if call.different_body else ""))
    notes += sorted({code for code in call.errors if code})
    if call.fault:
        notes.append(f"fault: {call.fault}")
    kind = (
        "warn" if call.status == 429 or (call.status == 200 and call.errors) else "ok" if call.status == 200 else "bad"
    )
    summary = (
        f'<span class="tag {kind}">{call.status or "cut"}</span> '
        f'{escape(words)} <span class="mute">· {escape(" · ".join(notes))}</span>'
    )
    errors = Counter(code or "an error without a code" for code in call.errors)
    details = [
        ("At", _moment(call.at)),
        ("Operation", f"{call.kind or 'none'} {call.operation or ''}".strip()),
        ("Fields", f"{len(call.fields)} at the root"),
        ("Complexity", f"{call.complexity:,} points"),
        ("Took", f"{call.ms:,.1f} ms"),
        ("Answer", f"HTTP {call.status}" if call.status else "the connection was cut"),
        ("Errors", ", ".join(f"{count} × {code}" for code, count in errors.items())),
        ("Fault", call.fault),
        ("Idempotency-Key", call.idempotency_key or ""),
        ("Request id", call.request_id),
    ]
    return _line(f"call-{call.id}", summary, details)


def delivery_line(delivery: Delivery) -> str:
    event = delivery.body["event"]
    kind, words = _delivery_state(delivery)
    about = f" · {delivery.about}" if delivery.about else ""
    shows = delivery.rule and delivery.state not in (DROPPED, HELD, DELAYED)  # these say it themselves
    rule = f' <span class="tag">{escape(delivery.rule)}</span>' if shows else ""
    retry = " · failed" if delivery.state == GIVEN_UP else ""
    if delivery.state == RETRYING:
        retry = f" · retry {len(delivery.tries)} of {RETRIES} within a minute"
    summary = (
        f'<span class="tag {kind}">{escape(words)}</span>{rule} '
        f'{escape(event["type"])}<span class="mute">{escape(about)}{retry}</span>'
    )
    tries = "; ".join(
        f"{_moment(one['at'])} {one['status'] or one['error']} in {one['ms']:,} ms" for one in delivery.tries[-5:]
    )
    details = [
        ("Event", f"{delivery.event}, sent as {event['type']}"),
        ("To", f"{delivery.host} (webhook {delivery.webhook_id})"),
        ("State", delivery.state),
        ("Next attempt", _moment(delivery.next_try) if delivery.next_try is not None else ""),
        ("Attempts", tries or "none yet"),
        ("Rule", delivery.rule),
        ("Trigger", event["triggerUuid"]),
    ]
    return _line(f"delivery-{delivery.id}", summary, details)


def _delivery_state(delivery: Delivery) -> tuple[str, str]:
    if delivery.state in (DROPPED, HELD, DELAYED):
        return "warn", delivery.state
    if not delivery.tries:
        return "", "sending"
    last = delivery.tries[-1]
    if last["status"] == 200:
        return "ok", f"200 in {last['ms']:,} ms"
    return "bad", str(last["status"] or WORDS.get(last["error"], "no answer"))


def _line(key: str, summary: str, details: Details) -> str:
    rows = "".join(f"<div><dt>{term}</dt><dd>{escape(words)}</dd></div>" for term, words in details if words)
    return f'<li id="{key}"><details><summary>{summary}</summary><dl>{rows}</dl></details></li>'


def _moment(seconds: float) -> str:
    """UTC, by the sandbox's clock."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")


# The drawer of a demo: faults of the API, what happens to webhooks, the clock, the plan.


FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("500", {"status": 500}),
    ("503, a page", {"status": 503}),
    ("429, wait 10 s", {"status": 429, "retry_after": 10}),
    ("429, no wait said", {"status": 429}),
    ("Minute's complexity is used up", {"limit": "complexity", "retry_in": 10}),
    ("Day's calls are used up, until midnight UTC", {"limit": "daily"}),
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
NO_CHOICE = ("body", "seconds")  # of a fault that the page has no name for
LATENCIES = ((0, "at once"), (200, "0.2 s"), (600, "0.6 s"), (2000, "2 s"))
STEPS = ((60, "+1 min"), (3600, "+1 h"), (86_400, "+1 day"))


class Tools:
    """What the drawer shows and offers; each button is a request at `/_control/`."""

    def __init__(self, clock: Clock, api: Api, deliveries: Deliveries) -> None:
        self._clock = clock
        self._api = api
        self._deliveries = deliveries

    def html(self) -> str:
        return self._calls() + self._webhooks() + self._plan() + self._time() + RESET

    def _calls(self) -> str:
        buttons = "".join(_button(words, "faults", fault) for words, fault in FAULTS)
        left = self._api.faults.remaining()
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
        listed = "".join(f"<li>{escape(rule.description())}</li>" for rule in rules)
        clear = _button("No more rules", "webhooks", None, "DELETE") if rules else ""
        held = ""
        if count := self._deliveries.held_count():
            words = "1 delivery is kept back" if count == 1 else f"{count:,} deliveries are kept back"
            releases = "".join(_button(text, "webhooks/release", {"how": how}) for text, how in RELEASES)
            held = f'<p class="small held"><b>{words}</b></p><div class="wrap">{releases}</div>'
        return (
            f'<section><h3>Webhooks</h3><div class="wrap">{buttons}</div>'
            f"{_list('In force', listed)}{clear}{held}</section>"
        )

    def _plan(self) -> str:
        shown = self._api.limits.to_json()
        plans: list[tuple[dict[str, Any], str]] = [({"plan": None}, "no limits")]
        plans += [({"plan": name}, name) for name in PLANS]
        choice = _select("Limits of the plan", "plan", plans, {"plan": shown["plan"]})
        used, limits = shown["used"], shown["limits"]
        words = f"{used['day']:,.0f} calls today; nothing is refused."
        if limits is not None:
            words = (
                f"{used['day']:,.0f} of {limits['day']:,} calls today, {used['minute']:,} of {limits['minute']:,} this "
                f"minute, {used['points']:,} of {limits['points']:,} points this minute."
            )
        return f'<section><h3>API quota</h3>{choice}<p class="mute small">{words}</p></section>'

    def _time(self) -> str:
        offset = self._clock.offset_seconds
        steps = "".join(_button(words, "clock", {"offset_seconds": offset + seconds}) for seconds, words in STEPS)
        back = _button("Real time", "clock", {"offset_seconds": 0}) if offset else ""
        return (
            f'<section><h3>Clock</h3><p class="mute small">It is {self._clock.stamp()} here.</p>'
            f'<div class="wrap">{steps}{back}</div></section>'
        )


def _fault_words(fault: dict[str, Any]) -> str:
    if fault.get("naming") and fault.get("partial"):
        return f"What names {fault['naming']} is not saved, until there are no more faults"
    about = _without_count(fault)
    known = (words for words, one in FAULTS if _without_count(asdict(fault_from(one))) == about)
    own = next(known, "") or ", ".join(f"{key} {value}" for key, value in about.items() if key not in NO_CHOICE)
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
<button class="button danger" type="button" id="reset">Delete everything…</button></section>"""
