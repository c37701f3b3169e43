"""Filters and tags that every template has without loading them: `{{ row.at|moment }}`, `{% icon "sync" %}`.

They belong to no app, because the theme loads them before the apps are ready.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.template import Context
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from sync.kernel import humanize

register = template.Library()


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """Return day, time and zone as a <time> element, with the time in UTC on hover."""
    return humanize.time_element(value) if value else ""


@register.filter
def sentence_case(text: str) -> str:
    """Return allauth's “Change Password” as “Change password”."""
    return capfirst(text.strip().lower())


@register.filter
def short_moment(value: datetime) -> SafeString:
    """Return a short form for lists as a <time> element."""
    return humanize.short_time_element(value)


@register.filter
def age(value: datetime | None, now: datetime) -> SafeString | str:
    """Return how long ago it was, such as "5 minutes ago", as a <time> element."""
    return humanize.time_element(value, humanize.relative_time(value, now)) if value else ""


@register.simple_tag
def zone_of_page(browser_zone: str) -> str:
    """Return the zone of the page's times: “your time zone (Europe/Stockholm, CET)”, or a name if it isn't yours."""
    name = timezone.get_current_timezone_name()
    short = humanize.zone_name(timezone.localtime())
    text = name if name == short else f"{name}, {short}"
    return f"your time zone ({text})" if name == browser_zone else text


@register.simple_tag(takes_context=True)
def page_name(context: Context) -> str:
    """Return the page's name within its section; empty for a list, and for the section's own page."""
    section = context.get("section")
    if name := context.get("page_name"):  # of a page of ours
        return "" if section is not None and name == section.title else str(name)
    # A form has `original`, or nothing if it adds a record; Django's other pages about a record have `object`.
    record = context.get("original") or context.get("object")
    if context.get("deleted_objects"):
        return f"Delete {record}"
    if getattr(record, "pk", None):
        return str(record)
    if "deletable_objects" in context:  # the question before a list's action deletes rows
        return "Delete"
    request = context.get("request")
    is_own_page = request is not None and section is not None and request.path == section.path
    # A question about rows of a list has the list's address, but a name of its own.
    if context.get("cl") or (is_own_page and context.get("question") is None):
        return ""
    return str(context.get("title") or "")


@register.simple_tag(takes_context=True)
def window_title(context: Context) -> str:
    """Return the window's title: page, section, site."""
    section = context.get("section")
    parts = (page_name(context), section.title if section else "", context.get("site_title"))
    return " | ".join(str(part) for part in parts if part)


# “1 record”, “3 records”.
register.filter("counted", humanize.count_with_noun)
icon = register.simple_tag(humanize.icon)
badge = register.simple_tag(humanize.badge)


@register.simple_tag
def marked_value(value: Any, parts: Sequence[tuple[str, bool]], mark: str) -> SafeString | str:
    """Return a value with <ins>, or another `mark`, around its marked parts; without parts the value alone."""
    if not parts:
        return conditional_escape("" if value is None else value)
    marked = format_html("<{0}>{{}}</{0}>", mark or "ins")
    pieces = [format_html(marked, text) if is_marked else text for text, is_marked in parts]
    return format_html_join("", "{}", ((piece,) for piece in pieces))
