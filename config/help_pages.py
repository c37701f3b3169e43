"""The papers of docs/ as pages: the how-tos in the admin, and which explains which page; and the words of the pages,
one list, shown in the admin and in docs/glossary.md.

What the words replace, and where the old ones must not come back, is in tests/docs/test_vocabulary.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import PurePosixPath
from posixpath import normpath

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sync.kernel.db import LONGEST_SEARCH, fetch_rows
from sync.kernel.humanize import one_line

RECORD_STATES = (
    ("Synced", "Both sides are the same."),
    ("Pending", "A change is on its way to the other side."),
    (
        "Needs attention",
        "It can't be synced until somebody acts: a conflict, a blocked value, a failed job, a question.",
    ),
    ("Sync off", "Its sync or direction is off, or the board's filter leaves it out: both sides keep what they have."),
    ("Paused", "Somebody paused its board; what changes meanwhile is synced after the resume."),
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
    ("Cancel, Discard", "To close a pending job, or a failed one, without a sync."),
    ("Check for missed changes", "NPD Sync asks Monday what changed, in case a webhook did not arrive."),
    ("Conflict", "Both sides changed the same field differently since the last sync; nothing is overwritten."),
    ("Deleted records", "What was deleted in NPD; it can be restored for 30 days."),
    ("Difference", "A value that differs on both sides although the record says Synced; there should be none."),
    ("Direction", "Which way a record or field is synced: both ways, one way only, or none."),
    ("Filter", "Which records and items of a board are synced; what it leaves out stays as it is on both sides."),
    ("Ignored items", "Items that somebody told NPD Sync to leave alone; they never become records."),
    ("Item", "A row of a Monday board, the counterpart of a record."),
    ("Job", "A change that is to be synced: Pending, In progress, Done or Failed."),
    ("Kept different", "A value that somebody left different on both sides on purpose; it is not sent."),
    ("Last synced value", "The value that both sides had when they were last the same."),
    ("Link, unlink", "A record and its item belong together; unlinking ends that, and both keep what they have."),
    ("Mapping", "Which field of a record is which column of the board."),
    ("Match key", "The field by which records and items find each other: a contact's email, an organization's name."),
    ("Overwritten edit", "Somebody's edit on the board that a value from NPD replaced at the same moment."),
    ("Possible duplicate", "Two records or items that may be the same person; you decide."),
    ("Record", "A contact or an organization in NPD."),
    ("Rejected by Monday", "A value that Monday does not accept; correct it, use Monday's, or keep both different."),
    (
        "Removed on Monday",
        "Somebody archived, deleted or moved the item of a record; the record stays until that is answered.",
    ),
    ("Rule", "What happens in a conflict of a field: ask, NPD wins, Monday wins, the newer edit wins."),
    ("Sync state", "What is known of a record's sync, with the last synced values; for technical questions."),
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
    lines = [
        "# Glossary",
        "",
        "<!-- Written by `make docs` from config/help_pages.py: change that. -->",
        "",
        "The words of the pages, the API and these papers. In the admin: the book at the top of every page.",
    ]
    for title, words in SECTIONS:
        lines += ["", f"## {title}", "", "| word | means |", "|---|---|"]
        lines += [f"| **{word}** | {meaning} |" for word, meaning in words]
    return "\n".join([*lines, ""])


DOCS = settings.BASE_DIR / "docs"
"""In an image only what is served is there."""

LISTED = ("howto/*.md", "reference/*.md", "connect-monday.md", "guarantees.md")
SERVED = (*LISTED, "decisions/*.md")
"""What the listed pages lead to is there, too."""
GLOSSARY = "glossary.md"
RECORDS, START = "howto/find-and-export", ""
RECORD = "what-does-a-records-page-say"
"""The part of that about the pages of one record."""
EMERGENCY = "howto/when-something-is-wrong"
WORK = (
    "howto/work-through-the-inbox", "howto/resolve-conflicts", "howto/fix-blocked-fields", RECORDS,
    "howto/import-contacts", "howto/be-notified", "howto/sign-in-safely", "howto/export-or-erase-a-person",
    "guarantees",
)  # fmt: skip
SET_UP = (
    "connect-monday", "howto/set-up-with-the-wizard", "howto/decide-what-is-synced", "howto/who-may-do-what",
    "reference/columns", "reference/merge",
)  # fmt: skip
"""What people read who work with it, in the order of a day, and who set it up; the rest is for who runs it or writes
programs."""

PAGES = (
    ("conflicts/", "howto/resolve-conflicts"),
    ("inbox/", "howto/work-through-the-inbox"),
    ("notifications/", "howto/be-notified"),
    ("two-factor/", "howto/sign-in-safely"),
    ("sessions/", "howto/sign-in-safely"),
    ("settings/", "howto/who-may-do-what"),
    ("sync/unmatcheditem/", "howto/work-through-the-inbox"),
    ("sync/notificationreceiver/", "howto/be-notified"),
    ("sync/approvalrequest/", "howto/fix-blocked-fields"),
    ("sync/syncqueue/", "howto/steer-the-queue"),
    ("sync/boardlink/set-up/", "howto/set-up-with-the-wizard"),
    ("sync/boardlink/", "howto/decide-what-is-synced"),
    ("sync/mondayaccount/", "connect-monday"),
    ("sync/decision/", "howto/work-through-the-inbox"),
    ("sync/tombstone/", "howto/work-through-the-inbox"),
    ("sync/ignoreditem/", "howto/work-through-the-inbox"),
    ("sync/apitoken/", "howto/make-api-tokens"),
    ("sync/", "reference/tables"),
    ("npd/contact/import/", "howto/import-contacts"),
    ("npd/organization/import/", "howto/import-contacts"),
    ("auth/", "howto/who-may-do-what"),
    ("password_change/", "howto/who-may-do-what"),
    ("django_celery_beat/", "howto/run-on-real-servers"),
    ("help/", START),
    ("glossary/", START),
)
"""The beginnings of the admin's addresses, the longer before the shorter; records have one page for all types."""


def help_url(request: HttpRequest) -> str:
    index = reverse("admin:index")
    inside = request.path.removeprefix(index)
    if not inside:
        return reverse("npd-help", args=["howto/work-through-the-inbox"])
    name = next((name for start, name in PAGES if inside.startswith(start)), None)
    if name is None:  # app/model/, then whatever of a list, or the id of a record and what of it
        part = f"#{RECORD}" if inside.count("/") > 3 else ""
        return f"{reverse('npd-help', args=[RECORDS])}{part}"
    return reverse("npd-help", args=[name]) if name else reverse("npd-help-start")


@dataclass(frozen=True)
class HelpSection:
    """What a page says below a heading; its first has the page's title, and no anchor."""

    page: str
    anchor: str
    title: str
    text: str


Sections = tuple[HelpSection, ...]


@dataclass(frozen=True)
class HelpPage:
    """A page of docs/ as HTML; `title` is its first heading, `parts` are the ids and titles of the next ones;
    `sections` is what it says below each of them.
    """

    name: str
    title: str
    html: SafeString
    parts: Sequence[tuple[str, str]] = ()
    sections: Sections = ()


def help_start(request: HttpRequest) -> HttpResponse:
    """List what to do when something is wrong, then all other pages; with `q` what answers that."""
    term = one_line(request.GET.get("q", ""))[:LONGEST_SEARCH]
    for_people = (EMERGENCY, *WORK, *SET_UP)
    rest = _by_title({page.name for page in help_pages()}.difference(for_people))
    groups = [
        ("Work with it", [_page(name) for name in WORK]),
        ("Set up", [_page(name) for name in SET_UP]),
        ("For your administrator", rest),
    ]
    pages = tuple(page.sections for page in (*map(_page, for_people), *rest))
    is_read = {name for name in for_people if not name.startswith("reference/")}
    found = sections_saying(pages, is_read, term) if term else []
    context = {
        **admin.site.each_context(request),
        "title": "Help",
        "emergency": _page(EMERGENCY),
        "groups": groups,
        "term": term,
        "found": [(one, _page(one.page).title if one.anchor else "") for one in found],
    }
    return TemplateResponse(request, "npd/help_start.html", context)


# What the search finds, by the stems of words: the sections called so first, pages for people before others.


SHOWN = 12

Stems = frozenset[str]


def sections_saying(pages: tuple[Sections, ...], for_people: Collection[str], term: str) -> list[HelpSection]:
    """Return the sections that answer `term`, the best first; `pages` are in the order in which people read them.

    First those whose heading has all its words; of pages for people then what says all of them, what is called by
    some, and what says them here and there; then the others that do.
    """
    [wanted] = _stems([term])
    said = _said(pages)
    found = [
        one
        for page, of_page in zip(pages, said, strict=True)
        for one in _ranked(page, of_page, wanted, is_for_people=page[0].page in for_people)
    ]
    return [section for _, section in sorted(found, key=lambda one: one[0])[:SHOWN]] if wanted else []


def _ranked(
    page: Sections, said: Sequence[tuple[Stems, Stems]], wanted: Stems, *, is_for_people: bool
) -> Iterator[tuple[tuple[int, int], HelpSection]]:
    whole = frozenset[str]().union(*(text for _, text in said))
    best = max(range(len(page)), key=lambda at: len(_of(wanted, said[at][1])))
    for at, (section, (heading, text)) in enumerate(zip(page, said, strict=True)):
        called = _of(wanted, heading)
        if called == wanted:
            rank = 0
        elif is_for_people and _of(wanted, text | said[0][0]) == wanted:
            rank = 1
        elif is_for_people and called:
            rank = 2
        elif at == best and _of(wanted, whole) == wanted:
            rank = 3 if is_for_people else 4
        else:
            continue
        yield (rank, -len(called)), section


def _of(wanted: Stems, said: Stems) -> Stems:
    """The wanted words that are said, or begin one that is: somebody may still be typing."""
    return frozenset(one for one in wanted if any(word.startswith(one) for word in said))


@lru_cache(maxsize=1)
def _said(pages: tuple[Sections, ...]) -> list[list[tuple[Stems, Stems]]]:
    """The stems of each section's heading, and of all that it says."""
    sections = [section for page in pages for section in page]
    headings = _stems([one.title for one in sections])
    both = iter(list(zip(headings, _stems([f"{one.title} {one.text}" for one in sections]), strict=True)))
    return [[next(both) for _ in page] for page in pages]


def _stems(texts: Sequence[str]) -> list[Stems]:
    """The stems of each text's words, without those that every text has (“the”), as PostgreSQL's English has them."""
    words = [set(re.findall(r"[^\W_]+", text.lower())) for text in texts]
    sql = "SELECT word, ts_lexize('english_stem', word) FROM unnest(%s::text[]) AS word"
    found = dict(fetch_rows(sql, [sorted(set().union(*words))]))
    return [frozenset(stem for word in some for stem in found[word] or ()) for some in words]


# The pages themselves.


def help_pages() -> list[HelpPage]:
    return _by_title(name for name in _served() if not name.startswith("decisions/"))


def _by_title(names: Iterable[str]) -> list[HelpPage]:
    return sorted(map(_page, names), key=lambda page: page.title)


def help_page(request: HttpRequest, name: str) -> HttpResponse:
    if name not in _served():
        raise Http404("There is no help page of this name. The list of all is under Help.")
    page = _page(name)
    context = {**admin.site.each_context(request), "title": page.title, "page": page}
    return TemplateResponse(request, "npd/help_page.html", context)


@lru_cache(maxsize=1)
def _served() -> frozenset[str]:
    """The names of all pages; what is asked for is looked up here, never on the disk."""
    found = (path.relative_to(DOCS).with_suffix("") for pattern in SERVED for path in DOCS.glob(pattern))
    return frozenset(path.as_posix() for path in found)


@cache  # of names that _served has
def _page(name: str) -> HelpPage:
    return rendered((DOCS / f"{name}.md").read_text(), name)


def rendered(text: str, name: str) -> HelpPage:
    """Markdown as a page; its links lead on from the page of this name in docs/."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
    title = name
    if tokens and tokens[0].type == "heading_open":
        # The first heading is the page's own, which its frame shows.
        title, tokens = "".join(child.content for child in tokens[1].children or []), tokens[3:]
    parts: list[tuple[str, str]] = []
    texts: list[list[str]] = [[]]
    heads: list[str] = []
    column = 0
    for place, token in enumerate(tokens):
        # On a phone each cell stands below the others, and says of which column it is.
        if token.type == "thead_open":
            heads = []
        elif token.type == "th_open":
            heads.append("".join(one.content for one in tokens[place + 1].children or []))
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            token.attrSet("data-label", heads[column])
            column += 1
        if token.type == "heading_open":
            heading = tokens[place + 1]
            token.attrSet("id", slugify(heading.content))
            if token.tag == "h2":
                parts.append((slugify(heading.content), "".join(one.content for one in heading.children or [])))
                texts.append([])
        texts[-1].append(token.content)
        if token.type == "inline":
            token.children = _with_our_links(token.children or [], name)
    html = parser.renderer.render(tokens, parser.options, {})
    # What is wider than the page is scrolled, by keys too.
    html = html.replace("<table>", '<div class="npd-doc-wide" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    html = html.replace("<pre>", '<pre tabindex="0">')
    named = zip((("", title), *parts), texts, strict=True)
    sections = tuple(HelpSection(name, anchor, heading, " ".join(said)) for (anchor, heading), said in named)
    return HelpPage(name, title, mark_safe(html), parts, sections)  # noqa: S308 - of our own files; their HTML is escaped


def _with_our_links(children: list[Token], name: str) -> list[Token]:
    """Links to other pages lead to them here; those to what isn't served (code, decisions) are their text alone."""
    found, dropped = [], []
    for child in children:
        if child.type == "link_open":
            address = _address_of(str(child.attrGet("href") or ""), name)
            dropped.append(not address)
            if not address:
                continue
            child.attrSet("href", address)
            if address.startswith("http"):
                child.attrSet("rel", "noopener")
                child.attrSet("target", "_blank")
        elif child.type == "link_close" and dropped.pop():
            continue
        found.append(child)
    return found


def _address_of(href: str, name: str) -> str:
    if href.startswith(("http://", "https://", "#")):
        return href
    path, _, part = href.partition("#")
    target = normpath(PurePosixPath(name).parent / path)
    anchor = f"#{part}" if part else ""
    if target == GLOSSARY:
        return reverse("npd-glossary")
    target = target.removesuffix(".md")
    return f"{reverse('npd-help', args=[target])}{anchor}" if target in _served() else ""
