"""The words of the pages, each explained in a sentence: one list, shown in the admin and in docs/glossary.md.

What the words replace, and where the old ones must not come back, is in tests/docs/test_vocabulary.py.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

RECORD_STATES = (
    ("Synced", "Both sides are the same."),
    ("Pending", "A change is on its way to the other side."),
    (
        "Needs attention",
        (
            "It can't be synced until somebody acts: a conflict, a rejected or blocked value, a failed job, an item "
            "removed on Monday, a question."
        ),
    ),
    ("Sync off", "Its sync or direction is off, or the board's filter leaves it out: both sides keep what they have."),
    ("Paused", "Somebody paused its board or direction; what changes meanwhile is synced after the resume."),
)

BOARD_STATES = (
    ("Syncing", "Changes are synced in both directions."),
    ("Paused", "Somebody paused it; it goes on when somebody presses Resume."),
    ("Stopped", "It can't be synced, for the reason shown, and goes on by itself once that has ended."),
    ("Not set up", "It has no board on Monday yet, or Monday is not connected."),
)

WORDS = (
    ("Activity", "What was synced, by whom and what triggered it; most entries can be undone."),
    ("API quota", "The calls that Monday allows your account a day and a minute."),
    ("API writes", "The calls with which NPD Sync changed something on Monday, and their outcome."),
    ("Approvals", "Bulk deletions: more deleted records or emptied fields than usual, which wait for your yes or no."),
    ("Attempt", "One try of a job; after a failure the next attempt is made later, five in all."),
    ("Blocked", "A field that can't be synced until somebody acts; the other fields of the record are synced."),
    ("Board", "The Monday board that is kept the same as a list of records in NPD."),
    (
        "Check for missed changes",
        "NPD Sync asks Monday what changed, in case a webhook did not arrive; it runs every few minutes.",
    ),
    ("Conflict", "Both sides changed the same field differently since the last sync; nothing is overwritten."),
    ("Conflict rule", "What happens in a conflict of a field: ask, NPD wins, Monday wins, the newer edit wins."),
    ("Deleted records", "What was deleted in NPD; it can be restored for 30 days."),
    ("Difference", "A value that differs on both sides although the record says Synced; there should be none."),
    ("Direction", "Which way a record or field is synced: both ways, one way only, or not at all."),
    ("Filter", "Which records and items of a board are synced; what it leaves out stays as it is on both sides."),
    ("Ignored items", "Items that somebody told NPD Sync to leave alone; they never become records."),
    ("Inbox", "All that needs attention, in one list: grouped by cause, with what can be done."),
    ("Item", "A row of a Monday board, the counterpart of a record."),
    ("Job", "A change that is to be synced: Pending, In progress, Done or Failed."),
    ("Kept different", "A value that somebody left different on both sides on purpose; it is not sent."),
    ("Last synced value", "The value that both sides had when they were last the same."),
    ("Link, unlink", "A record and its item belong together; unlinking ends that, and both keep what they have."),
    ("Mapping", "Which field of a record is which column of the board."),
    ("Match key", "The field by which records and items find each other: a contact's email, an organization's name."),
    ("Overwritten edit", "Somebody's edit on the board that a value from NPD replaced at the same moment."),
    ("Notification", "A message by email, Slack or Teams about what needs attention; everybody chooses how often."),
    ("Possible duplicate", "Two records or items that may be the same person; you decide."),
    ("Preview", "What would be written, and what it costs, before anything is."),
    ("Record", "A contact or an organization in NPD."),
    ("Rejected by Monday", "A value that Monday does not accept; correct it, use Monday's, or keep both different."),
    (
        "Removed on Monday",
        "Somebody archived, deleted or moved the item of a record; the record stays until that is answered.",
    ),
    ("Resolve", "To decide a conflict: use NPD, use Monday, use both, or type a value."),
    ("Sync state", "What is known of a record's sync, with the last synced values; for technical questions."),
    ("Trigger", "What started a sync: a save in NPD, an edit on Monday, a person's click, a check or a retry."),
    ("Unmatched items", "Items on a board that no record belongs to yet."),
    ("Update loop", "A field that somebody on the board, mostly an automation, overwrites after each sync."),
    ("Verification", "Synced records are compared on both sides every night, to prove that they are the same."),
    ("Webhook", "Monday's message that something on a board has changed."),
)

SECTIONS = (("A record is", RECORD_STATES), ("A board is", BOARD_STATES), ("Words", WORDS))


def glossary_page(request: HttpRequest) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": "Glossary", "sections": SECTIONS}
    return TemplateResponse(request, "npd/glossary.html", context)


def glossary_markdown() -> str:
    """Return docs/glossary.md."""
    lines = [
        "# Glossary",
        "",
        "<!-- Written by `make docs` from config/glossary.py: change that. -->",
        "",
        "The words of the pages, the API and these papers. In the admin: the book at the top of every page.",
    ]
    for title, words in SECTIONS:
        lines += ["", f"## {title}", "", "| word | means |", "|---|---|"]
        lines += [f"| **{word}** | {meaning} |" for word, meaning in words]
    return "\n".join([*lines, ""])
