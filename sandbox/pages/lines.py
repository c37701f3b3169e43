"""API calls and webhooks as lines of the side log."""

from collections import Counter
from html import escape

from sandbox.calls import Call
from sandbox.webhooks.deliveries import RETRIES, Delivery


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
    return (
        f'<li id="call-{call.id}"><span class="tag {_call_kind(call)}">{call.status or "cut"}</span> '
        f'{escape(words)} <span class="mute">· {escape(" · ".join(notes))}</span></li>'
    )


def _call_kind(call: Call) -> str:
    if call.status != 200:
        return "warn" if call.status == 429 else "bad"
    return "warn" if call.errors else "ok"


def delivery_line(delivery: Delivery) -> str:
    """An `<li>` for one webhook delivery."""
    event = delivery.body["event"]
    kind, words = _delivery_state(delivery)
    about = f" · {delivery.about}" if delivery.about else ""
    return (
        f'<li id="delivery-{delivery.id}"><span class="tag {kind}">{escape(words)}</span> '
        f'{escape(event["type"])}<span class="mute">{escape(about)}{escape(_retry(delivery))}</span></li>'
    )


def _delivery_state(delivery: Delivery) -> tuple[str, str]:
    if not delivery.tries:
        return "", "sending"
    last = delivery.tries[-1]
    if last["status"] == 200:
        return "ok", f"200 in {last['ms']:,} ms"
    return "bad", str(last["status"] or ("timeout" if last["error"] == "timeout" else "no answer"))


def _retry(delivery: Delivery) -> str:
    if delivery.state == "retrying":
        return f" · retry {len(delivery.tries)} of {RETRIES} within a minute"
    return " · given up" if delivery.state == "given up" else ""
