"""The next items on the boards that no record has yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, OuterRef, Subquery, Window
from django.db.models.fields.json import KeyTextTransform

from sync.admin import words
from sync.admin.queue_panel import Panel
from sync.admin.queue_words import item_called, next_look, why
from sync.boards import item_url
from sync.models import SyncQueue, WebhookEvent
from sync.newcomers import waiting_items
from sync.registry import kind_words

SHOWN = 5


@dataclass(frozen=True)
class NewItem:
    """An item that no record has yet."""

    text: str
    kind: str
    why: str
    when: str
    url: str


def new_items(panel: Panel) -> tuple[list[NewItem], int]:
    """Return the next items that wait to become records, and how many there are in all; one query."""
    told = WebhookEvent.objects.filter(item_id=OuterRef("remote_id"), body__event__has_key="pulseName")
    name = told.order_by("-received_at", "-id").values(
        called=KeyTextTransform("pulseName", KeyTextTransform("event", "body"))
    )
    rows = list(
        waiting_items()
        .annotate(in_all=Window(Count("id")), called=Subquery(name[:1]))
        .order_by("next_retry", "id")[:SHOWN]
    )
    names = {str(row.remote_id): row.called for row in rows if row.called}
    return [_item(row, names, panel) for row in rows], rows[0].in_all if rows else 0


def _item(row: SyncQueue, names: Mapping[str, str], panel: Panel) -> NewItem:
    row.page_now, row.page_held = panel.now, panel.holds  # type: ignore[attr-defined]
    link = panel.links.get(row.entity_type)
    url = item_url(link, str(row.remote_id)) if link else ""
    return NewItem(
        item_called(row, names), kind_words(row.entity_type), words.plain(why(row)), next_look(row), url
    )
