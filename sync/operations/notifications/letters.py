"""What a message says: its news by cause, the gravest first, with links to where each is dealt with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from django.conf import settings
from django.urls import reverse

from sync.kernel.humanize import count_with_noun, join_first
from sync.operations.attention import AttentionKind
from sync.operations.notifications.incidents import DIFFERENCE, STOPPED, Noticed, inbox_url
from sync.operations.notifications.message_formats import MAX_ENTRIES, MAX_GROUPS, Entry, Group, Letter, clean
from sync.registry import type_label

_KINDS = (STOPPED, DIFFERENCE, *(kind.value for kind in AttentionKind))
"""The gravest first."""

_NOUNS = {
    AttentionKind.FAILED.value: ("failed job", "failed jobs"),
    AttentionKind.WEBHOOK.value: ("webhook endpoint is off", "webhook endpoints are off"),
    AttentionKind.APPROVAL.value: ("approval", "approvals"),
    AttentionKind.CONFLICT.value: ("conflict", "conflicts"),
    AttentionKind.DUPLICATE.value: ("possible duplicate", "possible duplicates"),
    AttentionKind.REJECTED.value: ("rejected value", "rejected values"),
    AttentionKind.BLOCKED.value: ("blocked field", "blocked fields"),
    AttentionKind.UNMATCHED.value: ("unmatched item", "unmatched items"),
}
_TITLES = {STOPPED: "Sync stopped", DIFFERENCE: "A difference was found"}

ALL_CLEAR = "Nothing needs attention any more."
TEST = "This is a test. Notifications for {user} arrive here."


def news_letter(news: Iterable[Noticed], open_number: int, named_types: frozenset[str]) -> Letter:
    """Return the message about these; `open_number` is how many need attention in all.

    Records of other types than `named_types` are called by their type alone.
    """
    groups = _groups(news, named_types)
    number = sum(one.number for _group, members in groups for one in members)
    things = count_with_noun(number, "thing needs", "things need")
    before = open_number - number
    more = f" With those of earlier messages it is {open_number:,} in all." if before > 0 else ""
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
    """Return the message with which a person tries a receiver."""
    return _plain_letter("NPD Sync: test", clean(TEST.format(user=user)))


def person_letter(subject: str, sentence: str, link_text: str, path: str) -> Letter:
    """Return a message about somebody's own account, with the page on which they act."""
    return _plain_letter(f"NPD Sync: {subject}", clean(sentence), Entry(link_text, _absolute(path)))


def _plain_letter(subject: str, sentence: str, link: Entry | None = None) -> Letter:
    return Letter(subject, sentence, (), link or _inbox_link(), _absolute(reverse("npd-notifications")))


def _groups(news: Iterable[Noticed], named_types: frozenset[str]) -> list[tuple[Group, Sequence[Noticed]]]:
    def cause(one: Noticed) -> tuple[int, str, str]:
        place = _KINDS.index(one.kind) if one.kind in _KINDS else len(_KINDS)
        # A stop's reason names the time of the next attempt; boards with one kind of reason are one group.
        return place, one.cause_code, "" if one.kind == STOPPED else one.cause

    by_cause = [(place, list(members)) for (place, *_), members in groupby(sorted(news, key=cause), key=cause)]
    by_cause.sort(key=lambda found: (found[0], -sum(one.number for one in found[1])))
    return [(_group(members, named_types), members) for _place, members in by_cause]


def _group(members: Sequence[Noticed], named_types: frozenset[str]) -> Group:
    first, number = members[0], sum(one.number for one in members)
    if first.kind in _TITLES:
        boards = join_first([clean(one.name, 60) for one in members])
        return Group(f"{_TITLES[first.kind]}: {boards}", [Entry(clean(first.cause, 400), _absolute(first.url))])
    noun = count_with_noun(number, *_NOUNS.get(first.kind, ("thing", "things")))
    title = f"{noun}: {clean(first.cause)}" if first.cause else noun
    if first.key == first.kind:
        return Group(title, [Entry("See all", _absolute(first.url))])
    entries = [Entry(_name(one, named_types), _absolute(one.url)) for one in members[:MAX_ENTRIES]]
    return Group(title, entries, len(members) - len(entries), _absolute(inbox_url(cause=first.cause_code)))


def _name(one: Noticed, named_types: frozenset[str]) -> str:
    is_named = not one.entity_type or one.entity_type in named_types
    return clean(one.name if is_named else str(type_label(one.entity_type)), 100) or "(no name)"


def _subject(groups: Sequence[tuple[Group, Sequence[Noticed]]], otherwise: str) -> str:
    gravest = groups[0][1][0].kind if groups else ""
    if len(groups) == 1 or gravest == STOPPED:
        return clean(groups[0][0].title, 110)
    return otherwise


def _inbox_link() -> Entry:
    return Entry("Open the inbox", _absolute(inbox_url()))


def _absolute(url: str) -> str:
    return f"{settings.SITE_URL}{url or reverse('admin:index')}"
