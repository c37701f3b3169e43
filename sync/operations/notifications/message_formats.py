"""How a message looks: what it says, once; then as an email, in Slack's blocks and as Teams' Adaptive Card.

Names of records come from people and from boards: each format marks them as mere text in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from sync.kernel.humanize import count_with_noun, shorten
from sync.models.notification import Medium

MAX_GROUPS = 8
MAX_ENTRIES = 4
"""Entries of a group that are named; Slack takes some 13,000 characters in all, Teams 28 KB."""

MAX_TEXT = 160

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Entry:
    """One thing by its name, with its page."""

    text: str
    url: str


@dataclass(frozen=True)
class Group:
    """Things of one cause: “28 blocked fields: the column Phone was deleted”, some of them, and how many more."""

    title: str
    entries: Sequence[Entry] = ()
    more: int = 0
    url: str = ""

    @property
    def more_text(self) -> str:
        """How many are not named."""
        return f"and {self.more:,} more" if self.more else ""


@dataclass(frozen=True)
class Letter:
    """What a message says: a subject, a sentence, the groups, and two links: to what is to be done, and to settings."""

    subject: str
    sentence: str
    groups: Sequence[Group]
    link: Entry
    settings_url: str
    more_groups: int = 0

    @property
    def rest_text(self) -> str:
        """How many causes are not shown."""
        return f"And {count_with_noun(self.more_groups, 'more cause')}." if self.more_groups else ""


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text as one line without what controls a terminal, a mail's header or the direction of writing."""
    return shorten(" ".join(_CONTROL.sub(" ", text).split()), limit)


FOOTER = "You get this because you switched it on."
SETTINGS_LINK = "Change your notifications"


def email_text(letter: Letter) -> str:
    """Return the plain text of the email."""
    return "\n".join([*_text_lines(letter), "", f"{letter.link.text}: {letter.link.url}", "", "-- ",
                      f"{FOOTER} {SETTINGS_LINK}: {letter.settings_url}", ""])  # fmt: skip


def _text_lines(letter: Letter) -> Iterator[str]:
    yield letter.sentence
    for group in letter.groups:
        yield from ("", group.title)
        yield from (f"  - {entry.text}\n    {entry.url}" for entry in group.entries)
        if group.more:
            yield f"  {group.more_text}: {group.url}"
    if letter.more_groups:
        yield from ("", letter.rest_text)


def email_html(letter: Letter) -> str:
    """Return the email as HTML: styles are in the tags, for mail programs drop the others."""
    body = [f"<p>{escape(letter.sentence)}</p>"]
    for group in letter.groups:
        entries = [f"<li>{_anchor(entry)}</li>" for entry in group.entries]
        if group.more:
            entries.append(f"<li>{_anchor(Entry(group.more_text, group.url))}</li>")
        body += [f'<p style="margin:16px 0 4px"><strong>{escape(group.title)}</strong></p>',
                 f'<ul style="margin:0;padding-left:20px">{"".join(entries)}</ul>']  # fmt: skip
    if letter.more_groups:
        body.append(f"<p>{escape(letter.rest_text)}</p>")
    button = (
        "display:inline-block;padding:8px 14px;border-radius:6px;background:#1d4ed8;color:#ffffff;text-decoration:none"
    )
    body.append(f'<p style="margin:20px 0"><a style="{button}" href="{escape(letter.link.url)}">'
                f"{escape(letter.link.text)}</a></p>")  # fmt: skip
    body.append(f'<p style="color:#4b5563;font-size:13px">{escape(FOOTER)} '
                f"{_anchor(Entry(SETTINGS_LINK, letter.settings_url))}</p>")  # fmt: skip
    page = "font:15px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif;color:#111827;max-width:600px"
    return f'<!doctype html><html lang="en"><body><div style="{page}">{"".join(body)}</div></body></html>'


def _anchor(entry: Entry) -> str:
    return f'<a href="{escape(entry.url)}">{escape(entry.text)}</a>'


def chat_body(medium: Medium, letter: Letter) -> dict[str, Any]:
    """Return what is posted to a chat's webhook."""
    return _slack(letter) if medium == Medium.SLACK else _teams(letter)


# Slack: rich text, whose texts know no marks and no mentions, so a name in one is just that; `text` is for where blocks
# can't be shown (docs.slack.dev, "Sending messages using incoming webhooks", "Rich text block").


def _slack(letter: Letter) -> dict[str, Any]:
    elements = [_slack_section([_slack_text(letter.sentence)])]
    for group in letter.groups:
        elements.append(_slack_section([_slack_text(f"\n{group.title}", bold=True)]))
        more = [Entry(group.more_text, group.url)] if group.more else []
        items = [_slack_section([_slack_link(entry)]) for entry in (*group.entries, *more)]
        if items:
            elements.append({"type": "rich_text_list", "style": "bullet", "elements": items})
    if letter.more_groups:
        elements.append(_slack_section([_slack_text(f"\n{letter.rest_text}")]))
    links = [_slack_text("\n"), _slack_link(letter.link), _slack_text(f"\n{FOOTER} ")]
    elements.append(_slack_section([*links, _slack_link(Entry(SETTINGS_LINK, letter.settings_url))]))
    header = {"type": "plain_text", "text": shorten(letter.subject, 150), "emoji": False}
    plain = f"{letter.subject}. {letter.sentence}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {
        "text": plain,
        "mrkdwn": False,
        "blocks": [{"type": "header", "text": header}, {"type": "rich_text", "elements": elements}],
    }


def _slack_section(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements)}


def _slack_text(text: str, *, bold: bool = False) -> dict[str, Any]:
    return {"type": "text", "text": text} | ({"style": {"bold": True}} if bold else {})


def _slack_link(entry: Entry) -> dict[str, Any]:
    return {"type": "link", "url": entry.url, "text": entry.text}


# Teams: what its Workflows app posts "when a webhook request is received" is a message with one Adaptive Card. Text
# runs know no Markdown, so a name in one is just that; learn.microsoft.com, "Create incoming webhooks with Workflows".


def _teams(letter: Letter) -> dict[str, Any]:
    body: list[dict[str, Any]] = [
        _runs([{**_run(letter.subject), "size": "large", "weight": "bolder"}]),
        _runs([_run(letter.sentence)]),
    ]
    for group in letter.groups:
        body.append(_runs([{**_run(group.title), "weight": "bolder"}], spacing="medium"))
        more = [Entry(group.more_text, group.url)] if group.more else []
        body += [_runs([_run("• "), _run_link(entry)], spacing="none") for entry in (*group.entries, *more)]
    if letter.more_groups:
        body.append(_runs([_run(letter.rest_text)]))
    body.append(_runs([{**_run(FOOTER), "size": "small", "isSubtle": True}], spacing="medium"))
    links = (letter.link, Entry(SETTINGS_LINK, letter.settings_url))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": link.text, "url": link.url} for link in links],
        "msteams": {"width": "Full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _runs(runs: Sequence[dict[str, Any]], spacing: str = "default") -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": list(runs)}


def _run(text: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": text}


def _run_link(entry: Entry) -> dict[str, Any]:
    return {**_run(entry.text), "selectAction": {"type": "Action.OpenUrl", "url": entry.url}}
