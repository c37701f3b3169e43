"""ETags of records, and If-Match: a stale writer is told instead of overwriting.

The tag is a hash of what people edit. Bookkeeping (Monday's id, the status, time stamps) is left out, so that
a sync which changes nothing doesn't turn a client away.
"""

from __future__ import annotations

import hashlib
import json
import re

from rest_framework.request import Request

from sync.api.problems import PreconditionFailed
from sync.models import SyncedModel
from sync.models.synced import BOOKKEEPING

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag_of(record: SyncedModel) -> str:
    """The quoted tag of the record's fields, sync_enabled and sync_direction."""
    names = [
        field.attname
        for field in record._meta.concrete_fields
        if not field.primary_key and field.attname not in BOOKKEEPING
    ]
    values = {name: getattr(record, name) for name in names}
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches(if_match: str, etag: str) -> bool:
    """Whether an If-Match header names this tag: a list of tags or `*`; `W/` is ignored."""
    return if_match.strip() == "*" or etag in _TAG.findall(if_match)


def check_precondition(request: Request, record: SyncedModel) -> None:
    """Compare If-Match with the record, whose row must be locked; raises PreconditionFailed (412)."""
    if_match = request.headers.get("If-Match")
    if if_match is not None and not matches(if_match, etag_of(record)):
        raise PreconditionFailed(
            f"“{record}” ({record.entity_type()} {record.pk}) changed since you read it; nothing was done. "
            "GET it again, make your change on what it says now, and send that with the new ETag in If-Match."
        )
