"""Where people are signed in: what a session says of itself, and how one is ended.

Sessions are Django's own rows. What is listed is in their data, so that no second table can say something else; to
find a person's, all are read, which for a few hundred people takes milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY as USER_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils.timezone import now

DETAILS_KEY = "signed_in"
SEEN_EVERY = timedelta(minutes=5)
"""A session notes that it is in use no more often than this: each note is a write."""

MAX_AGENT = 300


@dataclass(frozen=True)
class SignedIn:
    """One session; `handle` names it on pages without being its key."""

    handle: str
    since: datetime
    seen: datetime
    browser: str
    address: str
    is_this: bool = False


def note_sign_in(session: SessionBase, *, agent: str, address: str) -> None:
    """Store where and when a session began."""
    moment = now().isoformat()
    session[DETAILS_KEY] = {"since": moment, "seen": moment, "agent": agent[:MAX_AGENT], "address": mask(address)}


def note_use(session: SessionBase) -> None:
    """Store that a session is in use, now and then."""
    details = session[DETAILS_KEY]
    if now() - datetime.fromisoformat(details["seen"]) > SEEN_EVERY:
        session[DETAILS_KEY] = details | {"seen": now().isoformat()}


def mask(address: str) -> str:
    """An address without its last part: enough to know a network by, not a person."""
    head, dot, _ = address.rpartition(".")
    return f"{head}.…" if dot else address


def sessions_of(user_id: Any, this_key: str | None = None) -> list[SignedIn]:
    """Return a person's sessions, the one used last first."""
    found = [_described(row, data, this_key) for row, data in _rows_of(user_id)]
    return sorted(found, key=lambda one: (one.is_this, one.seen), reverse=True)


def end_sessions(user_id: Any, *, but: str | None = None, handle: str | None = None) -> int:
    """End a person's sessions but that with this key, or only the one with this handle; return how many."""
    keys = [row.session_key for row, _ in _rows_of(user_id)]
    ended = [key for key in keys if key != but and handle in (None, session_handle(key))]
    return int(Session.objects.filter(session_key__in=ended).delete()[0])


def _rows_of(user_id: Any) -> Iterator[tuple[Session, dict[str, Any]]]:
    store = SessionStore()
    for row in Session.objects.filter(expire_date__gt=now()).iterator():
        data = store.decode(row.session_data)
        if data.get(USER_KEY) == str(user_id):
            yield row, data


def _described(row: Session, data: dict[str, Any], this_key: str | None) -> SignedIn:
    details = data[DETAILS_KEY]
    since, seen = (datetime.fromisoformat(details[one]) for one in ("since", "seen"))
    browser, is_this = browser_name(details["agent"]), row.session_key == this_key
    return SignedIn(session_handle(row.session_key), since, seen, browser, details["address"], is_this)


def session_handle(key: str) -> str:
    """Return what names a session without being its key."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
            ("Linux", "Linux"))  # fmt: skip


def browser_name(agent: str) -> str:
    """Return browser and system as people call them; empty where a browser says neither."""
    names = [next((name for mark, name in marks if mark in agent), "") for marks in (_BROWSERS, _SYSTEMS)]
    return " · ".join(filter(None, names))
