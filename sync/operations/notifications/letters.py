"""A message: what it says, how it looks as an email, in Slack and in Teams, and how it gets to its receiver.

News stand by their cause, the gravest first, each with a link to where it is dealt with. Names of records come from
people and from boards: each format marks them as mere text in its own way.
"""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from itertools import groupby
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from sync.kernel.humanize import count_with_noun, join_first, one_line, shorten
from sync.kernel.outgoing_calls import REDIRECTED, AddressError, CallFailed, post_json
from sync.models.followers import Medium
from sync.operations.attention import AttentionKind
from sync.operations.notifications.incidents import DIFFERENCE, STOPPED, Noticed, inbox_url
from sync.records.availability import stop_headline

_KINDS = (STOPPED, DIFFERENCE, *(kind.value for kind in AttentionKind))
"""The gravest first."""

_NOUNS = {
    AttentionKind.FAILED.value: ("change fails", "changes fail"),
    AttentionKind.NOTIFICATION.value: ("notification channel fails", "notification channels fail"),
    AttentionKind.APPROVAL.value: ("approval", "approvals"),
    AttentionKind.REMOVED.value: ("item removed on Monday", "items removed on Monday"),
    AttentionKind.CONFLICT.value: ("conflict", "conflicts"),
    AttentionKind.DUPLICATE.value: ("possible duplicate", "possible duplicates"),
    AttentionKind.REJECTED.value: ("rejected value", "rejected values"),
    AttentionKind.BLOCKED.value: ("blocked field", "blocked fields"),
    AttentionKind.UNMATCHED.value: ("unmatched item", "unmatched items"),
}

ALL_CLEAR = "Nothing needs attention any more."
TEST = "This is a test. Notifications for {user} arrive here."


def news_letter(news: Iterable[Noticed], open_number: int) -> Letter:
    """Return the message about these; `open_number` is how many causes need attention in all."""
    groups = _groups(news)
    number = len(groups)
    things = count_with_noun(number, "thing needs", "things need")
    before = open_number - number
    more = f" With those of earlier messages there are {open_number:,}." if before > 0 else ""
    return Letter(
        subject=f"NPD Sync: {_subject(groups, f'{things} attention')}",
        sentence=f"{things} attention.{more}",
        groups=[group for group, _members in groups[:MAX_GROUPS]],
        more_groups=len(groups) - len(groups[:MAX_GROUPS]),
        link=_inbox_link(),
        settings_url=_absolute(reverse("npd-notifications")),
    )


def all_clear_letter() -> Letter:
    """Return the message that nothing is left of what was named before."""
    return _plain_letter("NPD Sync: all clear", ALL_CLEAR)


def test_letter(user: str) -> Letter:
    return _plain_letter("NPD Sync: test", clean(TEST.format(user=user)))


def person_letter(subject: str, sentence: str, link_text: str, path: str) -> Letter:
    """Return a message about somebody's own account, with the page on which they act; nobody can switch it off."""
    return Letter(f"NPD Sync: {subject}", clean(sentence, 600), (), Entry(link_text, _absolute(path)), "")


def _plain_letter(subject: str, sentence: str) -> Letter:
    return Letter(subject, sentence, (), _inbox_link(), _absolute(reverse("npd-notifications")))


def _groups(news: Iterable[Noticed]) -> list[tuple[Group, Sequence[Noticed]]]:
    def cause(one: Noticed) -> tuple[int, str, str]:
        place = _KINDS.index(one.kind) if one.kind in _KINDS else len(_KINDS)
        # The rest of a stop's reason names the time of the next attempt.
        return place, one.cause_code, stop_headline((), one.cause) if one.kind == STOPPED else one.cause

    by_cause = [(place, list(members)) for (place, *_), members in groupby(sorted(news, key=cause), key=cause)]
    by_cause.sort(key=lambda found: (found[0], -sum(one.number for one in found[1])))
    return [(_group(members), members) for _place, members in by_cause]


def _group(members: Sequence[Noticed]) -> Group:
    first, number = members[0], sum(one.number for one in members)
    boards = [clean(one.name, 60) for one in members]
    if first.kind == STOPPED:
        rest = clean(first.cause, 400).partition(". ")[2]
        return Group(stop_headline(boards, clean(first.cause)), [Entry(rest or "See Health", _absolute(first.url))])
    if first.kind == DIFFERENCE:
        title = f"A difference was found: {join_first(boards)}"
        return Group(title, [Entry(clean(first.cause, 400), _absolute(first.url))])
    noun = count_with_noun(number, *_NOUNS.get(first.kind, ("thing", "things")))
    title = f"{noun}: {clean(first.cause)}" if first.cause else noun
    if first.key == first.kind:
        return Group(title, [Entry("See all", _absolute(first.url))])
    entries = [Entry(clean(one.name, 100) or "(no name)", _absolute(one.url)) for one in members[:MAX_ENTRIES]]
    return Group(title, entries, len(members) - len(entries), _absolute(inbox_url(cause=first.cause_code)))


def _subject(groups: Sequence[tuple[Group, Sequence[Noticed]]], otherwise: str) -> str:
    gravest = groups[0][1][0].kind if groups else ""
    if len(groups) == 1 or gravest == STOPPED:
        return clean(groups[0][0].title, 110)
    return otherwise


def _inbox_link() -> Entry:
    return Entry("Open the inbox", _absolute(inbox_url()))


def _absolute(url: str) -> str:
    return f"{settings.SITE_URL}{url or reverse('admin:index')}"


# How a letter looks: as an email, in Slack's blocks and as Teams' Adaptive Card.


MAX_GROUPS = 8
MAX_ENTRIES = 4
"""Entries of a group that are named; Slack takes some 13,000 characters in all, Teams 28 KB."""

MAX_TEXT = 160


@dataclass(frozen=True)
class Entry:
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
        return f"and {self.more:,} more" if self.more else ""


@dataclass(frozen=True)
class Letter:
    """What a message says: a subject, a sentence, the groups, and two links: to what is to be done, and to settings.

    Without `settings_url` it is one that nobody has switched on.
    """

    subject: str
    sentence: str
    groups: Sequence[Group]
    link: Entry
    settings_url: str
    more_groups: int = 0

    @property
    def rest_text(self) -> str:
        return f"And {count_with_noun(self.more_groups, 'more cause')}." if self.more_groups else ""


def clean(text: str, limit: int = MAX_TEXT) -> str:
    return shorten(one_line(text), limit)


FOOTER = "You get this because you switched it on."
SETTINGS_LINK = "Change your notifications"


def email_text(letter: Letter) -> str:
    footer = ["-- ", f"{FOOTER} {SETTINGS_LINK}: {letter.settings_url}", ""] if letter.settings_url else []
    return "\n".join([*_text_lines(letter), "", f"{letter.link.text}: {letter.link.url}", "", *footer])


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
    if letter.settings_url:
        body.append(f'<p style="opacity:.75;font-size:13px">{escape(FOOTER)} '
                    f"{_anchor(Entry(SETTINGS_LINK, letter.settings_url))}</p>")  # fmt: skip
    page = (
        "font:15px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif;max-width:600px;overflow-wrap:anywhere"
    )
    return f'{_HEAD}<body><div style="{page}">{"".join(body)}</div></body></html>'


# Its colours are those of the reader's mail program, light or dark, but for the button's.
_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark"></head>"""


def _anchor(entry: Entry) -> str:
    return f'<a href="{escape(entry.url)}">{escape(entry.text)}</a>'


def chat_body(medium: Medium, letter: Letter) -> dict[str, Any]:
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


# Its way to a receiver: by SMTP, or by HTTPS to a chat's webhook; and what came of it.


@dataclass(frozen=True)
class Outcome:
    """What came of a message: sent, or why not, as a sentence.

    `is_final`: another attempt would fail, too. `is_ours`: nobody's address is at fault, so nobody is switched off for
    it. `wait` is for how many seconds the receiver asks to be left alone.
    """

    is_sent: bool
    problem: str = ""
    is_final: bool = False
    is_ours: bool = False
    wait: float = 0.0


SENT = Outcome(True)


def _failed(problem: str, **more: Any) -> Outcome:
    return Outcome(False, problem, **more)


def is_email_configured() -> bool:
    return bool(settings.EMAIL_HOST) or not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")


def are_emails_files() -> bool:
    """Whether what would be sent is written into var/mail, as in the demo: nobody gets it."""
    return settings.EMAIL_BACKEND.endswith("filebased.EmailBackend")


NO_EMAIL = "No email server is set up. An administrator can do it."


def send_email(address: str, letter: Letter, message_id: str) -> Outcome:
    """Send an email. The same message has the same id, by which mail programs know one that came twice."""
    if not is_email_configured():
        return _failed(NO_EMAIL, is_ours=True)
    headers = {"Message-ID": message_id, "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}
    mail = EmailMultiAlternatives(clean(letter.subject), email_text(letter), to=[address], headers=headers)
    mail.attach_alternative(email_html(letter), "text/html")
    try:
        mail.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return _mail_problem(error, address)
    return SENT


def _mail_problem(error: Exception, address: str) -> Outcome:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()), (0, b""))
            said = clean(text.decode("utf-8", "replace"), 200)
            return _failed(f"The email server does not accept {address} ({code} {said}).", is_final=500 <= code < 600)
        case smtplib.SMTPAuthenticationError():
            reason = "it does not accept the user and password of EMAIL_URL"
        case smtplib.SMTPResponseException():
            reason = f"it answered with code {error.smtp_code}"
        case TimeoutError():
            reason = "it did not answer in time"
        case smtplib.SMTPException() | OSError():
            reason = "it can't be reached"
        case _:
            return _failed(f"“{address}” is no email address.", is_final=True)
    return _failed(f"The email server did not take the message: {reason}. An administrator checks it.", is_ours=True)


def send_chat(medium: Medium, address: str, letter: Letter) -> Outcome:
    """Post a message to a chat's webhook."""
    try:
        answer = post_json(address, json.dumps(chat_body(medium, letter)))
    except AddressError as why:
        return _failed(str(why), is_final=True)
    except CallFailed as why:
        return _failed(str(why))
    if answer.is_success:
        return SENT
    if answer.is_redirect:
        return _failed(REDIRECTED)
    status = answer.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _failed("It asks for fewer messages.", wait=answer.wait)
    word = answer.body.decode("utf-8", "replace").strip()
    reason = _SLACK_SAYS.get(word, "") if medium == Medium.SLACK else ""
    is_gone = status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
    if not reason:
        reason = "there is no such webhook any more" if is_gone else f"it answered with HTTP {status}"
    return _failed(f"{medium.label} did not take the message: {reason}.", is_final=is_gone)


_SLACK_SAYS = {
    "channel_is_archived": "the channel is archived",
    "channel_not_found": "the channel is gone",
    "no_service": "the webhook was removed",
    "no_active_hooks": "the webhook was removed",
    "invalid_token": "the webhook was removed",
    "action_prohibited": "the workspace does not allow it",
    "user_not_found": "the user is gone",
    "invalid_payload": "it does not understand the message",
}
"""What Slack answers with, as docs.slack.dev lists it; no other text of a receiver is shown or stored."""
