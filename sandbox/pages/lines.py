"""API calls and webhooks as lines of the side log; each opens to its details."""

from collections import Counter
from datetime import UTC, datetime
from html import escape

from sandbox.calls import Call
from sandbox.webhooks.deliveries import DELETED, RETRIES
from sandbox.webhooks.delivery import DELAYED, DROPPED, GIVEN_UP, HELD, RETRYING, Delivery

Details = list[tuple[str, str]]
WORDS = {"timeout": "timeout", DELETED: "not sent"}


def call_line(call: Call) -> str:
    """An `<li>` for one API call."""
    names = Counter(name for _, name in call.fields if name != "complexity")
    words = (
        ", ".join(f"{count} × {name}" if count > 1 else name for name, count in names.items()) or "no query"
    )
    notes = [f"{call.complexity:,} points"] if call.complexity else []
    notes.append(f"{call.ms:,.0f} ms")
    if call.replayed:
        notes.append("answered again" + (", though the body differs" if call.different_body else ""))
    notes += sorted({code for code in call.errors if code})
    if call.fault:
        notes.append(f"fault: {call.fault}")
    summary = (
        f'<span class="tag {_call_kind(call)}">{call.status or "cut"}</span> '
        f'{escape(words)} <span class="mute">· {escape(" · ".join(notes))}</span>'
    )
    return _line(f"call-{call.id}", summary, _call_details(call))


def _call_kind(call: Call) -> str:
    if call.status != 200:
        return "warn" if call.status == 429 else "bad"
    return "warn" if call.errors else "ok"


def _call_details(call: Call) -> Details:
    errors = Counter(code or "an error without a code" for code in call.errors)
    found = [
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
    return [(term, words) for term, words in found if words]


def delivery_line(delivery: Delivery) -> str:
    """An `<li>` for one webhook delivery."""
    event = delivery.body["event"]
    kind, words = _delivery_state(delivery)
    about = f" · {delivery.about}" if delivery.about else ""
    shows = delivery.rule and delivery.state not in (DROPPED, HELD, DELAYED)  # these say it themselves
    rule = f' <span class="tag">{escape(delivery.rule)}</span>' if shows else ""
    summary = (
        f'<span class="tag {kind}">{escape(words)}</span>{rule} '
        f'{escape(event["type"])}<span class="mute">{escape(about)}{escape(_retry(delivery))}</span>'
    )
    return _line(f"delivery-{delivery.id}", summary, _delivery_details(delivery))


def _delivery_state(delivery: Delivery) -> tuple[str, str]:
    if delivery.state in (DROPPED, HELD, DELAYED):
        return "warn", delivery.state
    if not delivery.tries:
        return "", "sending"
    last = delivery.tries[-1]
    if last["status"] == 200:
        return "ok", f"200 in {last['ms']:,} ms"
    return "bad", str(last["status"] or WORDS.get(last["error"], "no answer"))


def _retry(delivery: Delivery) -> str:
    if delivery.state == RETRYING:
        return f" · retry {len(delivery.tries)} of {RETRIES} within a minute"
    return " · given up" if delivery.state == GIVEN_UP else ""


def _delivery_details(delivery: Delivery) -> Details:
    event = delivery.body["event"]
    tries = "; ".join(
        f"{_moment(one['at'])} {one['status'] or one['error']} in {one['ms']:,} ms"
        for one in delivery.tries[-5:]
    )
    found = [
        ("Event", f"{delivery.event}, sent as {event['type']}"),
        ("To", f"{delivery.host} (webhook {delivery.webhook_id})"),
        ("State", delivery.state),
        ("Next try", _moment(delivery.next_try) if delivery.next_try is not None else ""),
        ("Tries", tries or "none yet"),
        ("Rule", delivery.rule),
        ("Trigger", event["triggerUuid"]),
    ]
    return [(term, words) for term, words in found if words]


def _line(key: str, summary: str, details: Details) -> str:
    rows = "".join(f"<div><dt>{term}</dt><dd>{escape(words)}</dd></div>" for term, words in details)
    return f'<li id="{key}"><details><summary>{summary}</summary><dl>{rows}</dl></details></li>'


def _moment(seconds: float) -> str:
    """UTC, by the sandbox's clock."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")
