"""Faults & tools: the log of calls and webhooks, and buttons for faults, webhook rules, limits, latency and clock."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

from sandbox.api import Api, Call
from sandbox.api_limits import PLANS
from sandbox.control import Control
from sandbox.faults import Fault
from sandbox.model import Clock
from sandbox.web import BadRequestError
from sandbox.webhooks import DELAYED, DROPPED, HELD, RETRIES, RETRYING, Deliveries, Delivery

LOG_LINES = 30
FAULT_BUTTONS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503 with an HTML page": {"status": 503},
    "429, wait 10 s": {"status": 429, "retry_after": 10},
    "429 without a wait": {"status": 429},
    "Minute's complexity is used up": {"limit": "complexity", "retry_in": 10},
    "Day's calls are used up, until midnight UTC": {"limit": "daily"},
    "Slow by 5 s": {"slow": 5},
    "Write lost on the way": {"timeout": "before"},
    "Write done, its answer lost": {"timeout": "after"},
    "Every third of a batch fails": {"partial": {"every": 3}},
    "Cursor is too old": {"cursor": "expired"},
    "Listing is empty": {"listing": "empty"},
    "Writes fail, reads go on": {"status": 500, "on": "mutation", "count": None},
    "Boards are full": {
        "partial": {"every": 1, "code": "ItemsLimitationException"}, "on": "create_item", "count": None,
    },
    "Texts are stored in small letters": {"alters": "small"},
    "Spaces are folded": {"alters": "folded"},
    "Tags are closed": {"alters": "tags closed"},
}  # fmt: skip
RULE_BUTTONS: dict[str, dict[str, Any]] = {
    "Hold all": {"rule": "hold"},
    "Drop the next": {"rule": "drop"},
    "Drop every 3rd": {"rule": "drop", "every": 3, "count": None},
    "Double the next": {"rule": "double"},
    "Next a minute late": {"rule": "delay", "seconds": 60},
}
RELEASE_BUTTONS = {"Send": "send", "Send twice": "double", "Shuffle": "shuffle", "Drop": "drop"}
CLOCK_STEPS = {"+1 min": 60, "+1 h": 3_600, "+1 day": 86_400}
LATENCIES = {"at once": 0, "0.2 s": 200, "0.6 s": 600, "2 s": 2_000}
NO_LIMITS = "no limits"


class FaultsPage:
    """The page, and what its buttons do."""

    def __init__(self, control: Control, clock: Clock, api: Api, deliveries: Deliveries) -> None:
        self._control = control
        self._clock = clock
        self._api = api
        self._deliveries = deliveries

    def press(self, do: str, choice: str) -> None:
        """Do what a button says; raises BadRequestError for an unknown one."""
        control = self._control
        acts: dict[str, Callable[[], object]] = {
            "fault": lambda: control.add_faults([FAULT_BUTTONS[choice]]),
            "no-faults": control.clear_faults,
            "latency": lambda: control.set_latency(mutation_ms=LATENCIES[choice]),
            "rule": lambda: control.add_rules([RULE_BUTTONS[choice]]),
            "no-rules": control.clear_rules,
            "release": lambda: control.release(RELEASE_BUTTONS[choice]),
            "plan": lambda: control.change_plan(plan=None if choice == NO_LIMITS else choice),
            "clock": lambda: control.set_clock(self._clock.offset_seconds + CLOCK_STEPS[choice]),
            "real-time": lambda: control.set_clock(0.0),
            "reset": control.reset,
        }
        try:
            acts[do]()
        except KeyError:
            raise BadRequestError(f"There is no {do} {choice}") from None

    def html(self) -> str:
        """Return the page's sections."""
        faults = self._api.faults.all()
        faults_left = ""
        if faults:
            lines = _bullets(map(_fault_line, faults))
            faults_left = f"<p>Still to come:</p>{lines}{_buttons('no-faults', ['No more faults'])}"
        latency = next((words for words, ms in LATENCIES.items() if ms == self._api.latency.mutation_ms), "")

        rules = self._deliveries.rules.all()
        rules_left = ""
        if rules:
            lines = _bullets(rule.description() for rule in rules)
            rules_left = f"<p>In force:</p>{lines}{_buttons('no-rules', ['No more rules'])}"
        held_count = self._deliveries.held_count()
        held = f"<p>Kept back: {held_count:,}</p>{_buttons('release', RELEASE_BUTTONS)}" if held_count else ""

        usage = self._api.limits.to_json()
        used = usage["used"]
        limits = usage["limits"]
        quota = f"{used['day']:,.0f} calls today; nothing is refused."
        if limits:
            quota = (
                f"{used['day']:,.0f} of {limits['day']:,} calls today, {used['minute']:,} of {limits['minute']:,} this "
                f"minute, {used['points']:,} of {limits['points']:,} points this minute."
            )
        real_time = _buttons("real-time", ["Real time"]) if self._clock.offset_seconds else ""
        return f"""<h1>Faults &amp; tools</h1><div class="cards">
<section><h2>The next API call</h2>{_buttons("fault", FAULT_BUTTONS)}{faults_left}
{_select("latency", "Each write takes", LATENCIES, latency)}</section>
<section><h2>The next webhooks</h2>{_buttons("rule", RULE_BUTTONS)}{rules_left}{held}</section>
<section><h2>API quota</h2>
{_select("plan", "Limits of the plan", [NO_LIMITS, *PLANS], usage["plan"] or NO_LIMITS)}
<p class="mute">{quota}</p></section>
<section><h2>Clock</h2><p>It is {self._clock.stamp()} here.</p>{_buttons("clock", CLOCK_STEPS)}{real_time}</section>
<section><h2>API calls</h2>{_bullets(map(_call_line, reversed(list(self._api.calls)[-LOG_LINES:])))}</section>
<section><h2>Webhooks sent</h2>{_bullets(map(_delivery_line, reversed(self._deliveries.log()[-LOG_LINES:])))}</section>
<section><h2>Start again</h2><details><summary>Delete everything…</summary>
<p>Boards, items, webhooks and logs are deleted.</p>{_buttons("reset", ["Delete all boards"])}</details></section>
</div>"""


def _buttons(do: str, choices: Iterable[str]) -> str:
    buttons = " ".join(
        f'<button id="{do}-{place}" name="choice" value="{escape(choice)}">{escape(choice)}</button>'
        for place, choice in enumerate(choices)
    )
    return f'<form method="post" action="/faults"><input type="hidden" name="do" value="{do}">{buttons}</form>'


def _select(do: str, label: str, choices: Iterable[str], selected: str) -> str:
    options = "".join(
        f"<option{' selected' if choice == selected else ''}>{escape(choice)}</option>" for choice in choices
    )
    return (
        f'<form method="post" action="/faults"><label>{label} '
        f'<select id="{do}" name="choice">{options}</select></label> <button name="do" value="{do}">Set</button></form>'
    )


def _bullets(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else "<p>None yet.</p>"


def _fault_line(fault: Fault) -> str:
    """Return a line about a fault in the queue: what happens, to what, and how often."""
    target = "" if fault.on == "any" else f" of {fault.on}"
    named = f" naming {fault.naming}" if fault.naming else ""
    often = "until there are no more faults" if fault.count is None else f"{fault.count:,} to go"
    return f"{fault.description()}{target}{named}, {often}"


def _call_line(call: Call) -> str:
    """Return a line about an API call: its time, answer, fields, and what was special."""
    fields = Counter(name for name in call.fields if name != "complexity")
    names = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in fields.items()) or "no query"
    notes = [f"{call.complexity:,} points"] if call.complexity else []
    notes.append(f"{call.ms:,.0f} ms")
    if call.replayed:
        notes.append("answered again")
    notes += sorted({code for code in call.errors if code})
    if call.fault:
        notes.append(f"fault: {call.fault}")
    answer = f"HTTP {call.status}" if call.status else "the connection was cut"
    moment = datetime.fromtimestamp(call.at, UTC)
    return f"{moment:%H:%M:%S} {answer} {names} · {' · '.join(notes)}"


def _delivery_line(delivery: Delivery) -> str:
    """Return a line about a webhook: its state, its event, and the item or column."""
    state = delivery.state
    rule = ""
    # These weren't sent, so they have no answer, and their state already shows the rule.
    if state not in (DROPPED, HELD, DELAYED):
        rule = f" ({delivery.rule})" if delivery.rule else ""
        if delivery.tries:
            last = delivery.tries[-1]
            state = f"{last['status'] or last['error']} in {last['ms']:,} ms"
    retry = f" · try {len(delivery.tries)} of {RETRIES + 1}" if delivery.state == RETRYING else ""
    return f"{state}{rule} {delivery.event} · {delivery.about}{retry}"
