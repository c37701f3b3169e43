"""How an open page learns that something changed: every second or so it asks for a version of what it shows.

A version is a text that is another one after any change, and costs one short query. Where it is another one, the page
fetches itself and puts its live parts in their places (static/npd/live.js): so every part is rendered by one template.
"""

from typing import Any

from django.contrib import admin
from django.contrib.messages.storage.base import BaseStorage
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from config.navigation import badges
from sync import registry
from sync.admin.activity import LastChange, last_change
from sync.kernel import humanize
from sync.models import SyncedModel


class LiveFetchMiddleware(MiddlewareMixin):
    """Keep messages for the next page that a person opens: a page that fetches itself says them to nobody."""

    def process_request(self, request: HttpRequest) -> None:
        if "X-NPD-Live" in request.headers:
            request._messages = _NoMessages(request)  # type: ignore[attr-defined]


class _NoMessages(BaseStorage):
    def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Any], bool]:
        return [], True

    def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return []


# A pass completes jobs, a decision is a row, and what a person does to a job is followed by a pass. A row's xmin
# is the transaction that wrote it last. Of what leaves no such trace (a job that is pending already, an item that is
# on no board any more) the server's own statistics know, which cost nothing and are seconds late.
_STOPS = """(SELECT string_agg(entity_type, ',' ORDER BY id) FROM sync_board_links WHERE pause IS NOT NULL),
        (SELECT concat_ws(',', pause, stopped_until, stopped_until > sync_now(), stop_reason, needs_probe)
            FROM sync_monday_account WHERE id = 1),
        (SELECT string_agg(concat_ws(',', blocked_until, blocked_until > sync_now(), blocked_reason), ';' ORDER BY id)
            FROM sync_board_links WHERE blocked_reason <> ''),
        (SELECT day_limit FROM sync_api_budget WHERE id = 1)"""

_SITE_VERSION = f"""
    SELECT md5(concat_ws('|', (SELECT max(id) FROM sync_queue), (SELECT max(id) FROM sync_decisions),
        (SELECT max(finished_at) FROM sync_queue WHERE status = 'completed'), {_STOPS},
        (SELECT count(*) FROM sync_approval_requests WHERE state = 'pending'),
        (SELECT max(id) FROM sync_unmatched_items),
        (SELECT max(ignored_at) FROM sync_unmatched_items WHERE ignored_at IS NOT NULL),
        (SELECT count(*) FROM sync_unmatched_items WHERE ignored_at IS NOT NULL),
        (SELECT string_agg(xmin::text, ',' ORDER BY id) FROM sync_notification_receivers),
        (SELECT string_agg(concat_ws(',', pg_stat_get_tuples_inserted(written), pg_stat_get_tuples_updated(written),
            pg_stat_get_tuples_deleted(written)), ',') FROM unnest(%s::regclass[]) AS counted (written))))
"""  # noqa: S608 - made of the fragment above

_RECORD_VERSION = f"""
    SELECT md5(concat_ws('|', {_STOPS}, (SELECT xmin::text FROM {{table}} WHERE id = %(id)s),
        (SELECT xmin::text FROM sync_metadata
            WHERE entity_type = %(type)s AND entity_id = %(id)s::text AND system = 'monday'),
        (SELECT string_agg(xmin::text, ',' ORDER BY id) FROM sync_queue
            WHERE entity_id = %(id)s AND status IN ('pending', 'in_progress', 'failed')),
        (SELECT max(id) FROM sync_decisions WHERE entity_type = %(type)s AND entity_id = %(id)s)))
"""  # noqa: S608 - made of the fragment above


# What the inbox counts, whose records beside.
_COUNTED = ("sync_queue", "sync_conflicts", "sync_metadata", "sync_approval_requests", "sync_unmatched_items")


@never_cache
@require_GET
def live_versions(request: HttpRequest) -> JsonResponse:
    """Answer with the versions of the site and of `?record=contact:<id>`, and the numbers of the sidebar by address.

    With `changed` (names of fields, by commas) also who gave the record these fields' present values.
    """
    counted = [*_COUNTED, *(spec.model._meta.db_table for spec in registry.entities())]
    site = _scalar(_SITE_VERSION, [counted])
    answer: dict[str, Any] = {"site": site, "badges": badges(request)}
    if record := _record(request):
        table = connection.ops.quote_name(record._meta.db_table)
        params = {"id": record.pk, "type": record.entity_type()}
        answer["record"] = _scalar(_RECORD_VERSION.format(table=table), params)
        changed = set(request.GET.get("changed", "").split(","))
        fields = [field for field in record._meta.concrete_fields if field.name in changed]
        changes = {field.name: last_change(record, field.attname) for field in fields}
        answer["authors"] = {name: _author_text(change) for name, change in changes.items()}
        answer["on_monday"] = [name for name, change in changes.items() if change and change.on_monday]
    return JsonResponse(answer)


def _record(request: HttpRequest) -> SyncedModel | None:
    """The record that the page is about; None where it is gone, or this person may not see it."""
    entity_type, _, key = request.GET.get("record", "").partition(":")
    spec = next((spec for spec in registry.entities() if spec.entity_type == entity_type), None)
    if spec is None or (model_admin := admin.site._registry.get(spec.model)) is None:
        return None
    try:
        record: SyncedModel | None = spec.model._default_manager.filter(pk=key).first()
    except ValidationError:
        return None
    return record if record is not None and model_admin.has_view_permission(request, record) else None


def _author_text(change: LastChange | None) -> str:
    return ", ".join(text for text in (change.by, humanize.time_of_day(change.at)) if text) if change else ""


def _scalar(sql: str, params: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return str(cursor.fetchone()[0])
