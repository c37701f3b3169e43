"""Times on pages: `{{ row.at|moment }}` says one with its zone, `{% moment_tag row.at %}` makes it a <time>."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync import moments

register = template.Library()


@register.filter
def moment(value: datetime | None) -> str:
    """The day, the time and the zone."""
    return moments.day_and_time(value) if value else ""


@register.filter
def moment_seconds(value: datetime | None) -> str:
    """The same to the second, for where the mouse rests."""
    return moments.day_time_seconds(value) if value else ""


@register.simple_tag
def moment_tag(value: datetime | None) -> SafeString | str:
    """The same for people and machines."""
    if not value:
        return ""
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), moments.day_and_time(value))


@register.simple_tag
def zone_of_page() -> str:
    """The zone in which this page says its times: “Europe/Stockholm (CET)”."""
    here = timezone.localtime()
    name, short = timezone.get_current_timezone_name(), moments.zone_name(here)
    return name if name == short else f"{name} ({short})"
