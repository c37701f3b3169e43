"""The boards of contacts and organizations, and something of every kind that waits for a person."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.attention import Kind
from sync.models import BoardLink, NotificationReceiver, SyncQueue
from tests.admin import states
from tests.admin.conftest import monday
from tests.conflicts.conftest import rejected_too
from tests.support.words import said

__all__ = ["monday"]

Kinds = dict[str, Any]
REJECTED = {"code": "rejected", "reason": "Monday rejected “x” [Monday request 12-ab]"}


def blocked(name: str, item: str, key: str = "phone", **entry: Any) -> Contact:
    return states.blocked(name, item, **{key: {"reason": "It can't be read.", **entry}})


@pytest.fixture
def boards(db: None) -> None:
    states.boards()


@pytest.fixture
def kinds(boards: None) -> Kinds:
    """One entry of every kind, and some that need nobody."""
    _, conflict = states.conflicting("Ann", "5001")
    dead = states.dead("Bob")
    rejected = blocked("Cleo", "5003", "email", **REJECTED)
    unread = blocked("Dan", "5004", code="unknown", side="npd")
    values = {"record": "Dan", "label": "Notes", "value": "met at the fair"}
    label = "Notes “met at the fair” of Dan"
    approval = states.approval(unread, "clear_monday", key="notes", label=label, values=values)
    question = states.conflict(dead, "5005", "identity", about={"what": "Is it the same Bob?"})
    item = states.unmatched("7001")
    gone = states.removed("Fay", "5020")
    failing = NotificationReceiver.objects.create(
        name="Slack", address="sealed", frequency="daily", failures=1, failed_since=states.sync_now()
    )
    NotificationReceiver.objects.create(
        name="Teams", address="x", frequency="off", failures=5, failed_since=states.sync_now()
    )
    states.stop_account(needs_probe=True)
    verified_at = states.sync_now()
    BoardLink.objects.filter(entity_type="contact").update(
        silence=said("No webhook ever came."), verified_at=verified_at, differed_records=1, verified_records=9
    )
    # Need nobody: a value kept different, a field that waits for an approval, a conflict being applied.
    blocked("Kept", "5010", kept_by={"who": "Ada"}, **REJECTED)
    blocked("Approved soon", "5011", code="approval", side="npd")
    blocked("Skipped", "5012", side="npd", code="relation_skipped")
    blocked("Off", "5013", code="unknown")
    Contact.objects.filter(name="Off").update(sync_enabled=False)
    SyncQueue.objects.filter(entity_id=Contact.objects.get(name="Off").pk).delete()
    states.unmatched("7010", "queued")
    states.unmatched("7011", ignored_at=states.sync_now())
    _, applied = states.conflicting("Applied", "5014")
    SyncConflict.objects.filter(pk=applied.pk).update(
        resolution={"fields": {"phone": {"choose": "npd"}}, "handed_back": {}}
    )
    return {
        Kind.CONFLICT: (f"conflict:{conflict.pk}", "Ann"),
        Kind.FAILED: (f"failed:{SyncQueue.objects.get(status='failed').pk}", "Bob"),
        Kind.REJECTED: (f"rejected:contact:{rejected.pk}:email", "Cleo"),
        Kind.BLOCKED: (f"blocked:contact:{unread.pk}:phone", "Dan"),
        Kind.APPROVAL: (f"approval:{approval.pk}", "Dan"),
        Kind.DUPLICATE: (f"duplicate:{question.pk}", "Bob"),
        Kind.REMOVED: (f"removed:contact:{gone.pk}", "Fay"),
        Kind.UNMATCHED: (f"unmatched:{item.pk}", "Item 7001"),
        Kind.NOTIFICATION: (f"notification:{failing.pk}", "Slack"),
        Kind.STOP: ("stop:account", "All boards"),
        Kind.DIFFERENCE: (f"difference:contact:{verified_at.date()}", "Contacts"),
        Kind.BOARD: ("board:contact:silence", "Contacts"),
    }


@pytest.fixture
def rejected_email(boards: None) -> Contact:
    return rejected_too("Ann", "75")
