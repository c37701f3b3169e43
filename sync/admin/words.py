"""How the admin says times, states and values to a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from sync import moments
from sync.boards import link_of
from sync.choices import RecordGone

NOTHING = "–"
_FOLLOWS = {
    RecordGone.ARCHIVE: (_("Its item is archived on Monday."), _("Their items are archived on Monday.")),
    RecordGone.DELETE: (_("Its item is deleted on Monday."), _("Their items are deleted on Monday.")),
    RecordGone.UNLINK: (
        _("Its item is let go and stays on Monday."),
        _("Their items are let go and stay on Monday."),
    ),
    RecordGone.ASK: (
        _("A person is asked what becomes of its item."),
        _("A person is asked what becomes of their items."),
    ),
}
_STAYS = _(
    "An item that was edited there since, or whose record sends nothing to Monday, stays; see “Deleted records”."
)
_TRACE = re.compile(r"\s*(\[Monday request [^\]]*\])")
_NEXT_LOOK = re.compile(r" It is looked at again at [\d:]+ [^.]+\.")
_NOUNS = {
    "change": ngettext_lazy("%(told)s change", "%(told)s changes", "n"),
    "conflict": ngettext_lazy("%(told)s conflict", "%(told)s conflicts", "n"),
    "contact": ngettext_lazy("%(told)s contact", "%(told)s contacts", "n"),
    "field": ngettext_lazy("%(told)s field", "%(told)s fields", "n"),
    "item": ngettext_lazy("%(told)s item", "%(told)s items", "n"),
    "more record": ngettext_lazy("%(told)s more record", "%(told)s more records", "n"),
    "organization": ngettext_lazy("%(told)s organization", "%(told)s organizations", "n"),
    "record": ngettext_lazy("%(told)s record", "%(told)s records", "n"),
    "row": ngettext_lazy("%(told)s row", "%(told)s rows", "n"),
    "row is": ngettext_lazy("%(told)s row is", "%(told)s rows are", "n"),
    "dead letter": ngettext_lazy("%(told)s dead letter", "%(told)s dead letters", "n"),
    "waiting row": ngettext_lazy("%(told)s waiting row", "%(told)s waiting rows", "n"),
    "value": ngettext_lazy("%(told)s value", "%(told)s values", "n"),
    "webhook": ngettext_lazy("%(told)s webhook", "%(told)s webhooks", "n"),
}


def item_follows(entity_type: str) -> str:
    """Return what becomes of a deleted record's item, by its board link's policy."""
    return f"{_FOLLOWS[_policy(entity_type)][0]} {_STAYS}"


def items_follow(entity_type: str) -> str:
    """Return the same of several records."""
    return f"{_FOLLOWS[_policy(entity_type)][1]} {_STAYS}"


def _policy(entity_type: str) -> RecordGone:
    link = link_of(entity_type)
    return RecordGone(link.record_gone) if link else RecordGone.ARCHIVE


def span(seconds: float) -> str:
    """Return a length of time in its largest whole unit: "5 minutes"."""
    return moments.span(seconds)


def when(moment: datetime | None, now: datetime) -> str:
    """Return how far `moment` is from `now`: "in 5 minutes", "2 hours ago", "now"."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return gettext("now")
    told = {"span": span(seconds)}
    return gettext("in %(span)s") % told if seconds > 0 else gettext("%(span)s ago") % told


def clock(moment: datetime | None) -> str:
    """Return a time as written out on a page, with its zone."""
    return moments.day_and_time(moment) if moment else ""


def time_tag(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return a moment as words, with the exact time where the mouse rests and for machines."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), clock(moment), when(moment, now)
    )


def shorten(text: str, limit: int = 200) -> str:
    """Return at most `limit` characters of a text, with an ellipsis where something was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def plain(text: str) -> str:
    """Return a sentence without the id of Monday's request, which in a list is noise."""
    return _TRACE.sub("", text)


def traced(text: str) -> SafeString:
    """Return a sentence with the id of Monday's request in small type: who asks Monday's support needs it."""
    found = _TRACE.findall(text)
    small = format_html(' <small class="npd-trace">{}</small>', " ".join(found)) if found else ""
    return format_html("{}{}", plain(text), small)


def without_time(text: str) -> str:
    """Return a reason without the time of the next look, for where that is said beside it."""
    return _NEXT_LOOK.sub("", text)


def quoted(text: str | None, limit: int = 80) -> str:
    """Return a value as it stands in a sentence: “Ann”, or (empty)."""
    return f"“{shorten(text, limit)}”" if text else gettext("(empty)")


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: "1 record", "3 records"."""
    noun = _NOUNS.get(one)
    if noun is None:  # a model that somebody added names itself
        return f"{intcomma(number)} {one if number == 1 else many or one + 's'}"
    return str(noun % {"n": number, "told": intcomma(number)})


def first_few(messages: Sequence[str], limit: int = 10) -> list[str]:
    """Return the first messages, and one that says how many more there are: a selection may be of thousands."""
    rest = len(messages) - limit
    more = (
        [gettext("The same or alike for %(count)s.") % {"count": counted(rest, "more record")}]
        if rest > 0
        else []
    )
    return [*messages[:limit], *more]


def and_more(parts: list[str], limit: int = 3) -> str:
    """Return the first parts, and how many more there are."""
    rest = len(parts) - limit
    shown = ", ".join(parts[:limit])
    return gettext("%(shown)s and %(rest)s more") % {"shown": shown, "rest": rest} if rest > 0 else shown


def icon(name: str) -> SafeString:
    """Return a Material symbol that screen readers pass over."""
    return format_html('<span class="material-symbols-outlined npd-icon" aria-hidden="true">{}</span>', name)


def badge(kind: str, symbol: str, text: str | Promise, *, url: str = "", title: str = "") -> SafeString:
    """Return a small label with an icon and words; `kind` is its colour (ok, wait, warn, bad, off)."""
    tag = format_html('<a class="npd-badge npd-badge-{}" href="{}" title="{}">', kind, url, title)
    if not url:
        tag = format_html('<span class="npd-badge npd-badge-{}" title="{}">', kind, title)
    end = "</a>" if url else "</span>"
    return format_html("{}{}{}{}", tag, icon(symbol), text, SafeString(end))


def external(url: str, text: str, label: str) -> SafeString:
    """Return a link that leaves the admin; `label` says the same to a screen reader."""
    return format_html(
        '<a class="npd-link" href="{}" target="_blank" rel="noopener" aria-label="{}">{} {}</a>',
        url,
        label,
        text,
        icon("open_in_new"),
    )
