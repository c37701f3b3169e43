"""Shows the how-tos, references and decisions of docs/ as pages of the admin."""

import fnmatch
import re
from functools import cache
from itertools import pairwise
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

DOCS = settings.BASE_DIR / "docs"
# A page is listed under the first heading that names it.
HEADINGS = {
    "How to": ("howto/resolve-conflicts.md", "howto/import-and-export.md", "howto/people.md", "guarantees.md"),
    "For administrators": (
        "connect-monday.md",
        "howto/operate.md",
        "howto/run-on-real-servers.md",
        "reference/environment.md",
        "reference/commands.md",
    ),
    "For programmers": ("howto/*.md", "reference/*.md"),
}
# Other pages link to the decisions. The Docker image has no pages except these.
SERVED = ("connect-monday.md", "guarantees.md", "howto/*.md", "reference/*.md", "decisions/*.md")
# The page that Help opens, by the name of the current view; the first pattern that matches counts.
HELP_OF_VIEWS = {
    "*_import*": "howto/import-and-export.md#how-do-i-import-a-file",
    "*_export*": "howto/import-and-export.md#how-do-i-export-a-list",
    "npd_*_personal_data": "howto/operate.md#export-or-erase-a-person",
    "npd-notifications": "howto/people.md#be-notified-by-email-or-chat",
    "npd_*_changelist": "howto/import-and-export.md#how-do-i-find-something",
    "conflicts_*": "howto/resolve-conflicts.md",
    "index": "howto/resolve-conflicts.md#what-needs-attention",
    "npd_*": "howto/resolve-conflicts.md#when-something-is-wrong",
    "sync_unmatcheditem_*": "howto/resolve-conflicts.md#why-an-item-has-no-record",
    "sync_approvalrequest_*": "howto/operate.md#bulk-deletions",
    "sync_syncqueue_*": "howto/operate.md#retry-failed-jobs",
    "sync_boardlink_*": "howto/operate.md#decide-what-is-synced",
    "sync_wizard_*": "connect-monday.md#set-up-in-the-admin",
    "sync_apitoken_*": "howto/use-the-api.md#make-a-token",
    "sync_activityline_*": "howto/import-and-export.md#how-do-i-find-something",
    "sync_tombstone_*": "howto/resolve-conflicts.md#when-something-is-wrong",
    "sync_ignoreditem_*": "howto/resolve-conflicts.md#why-an-item-has-no-record",
    "admin_logentry_*": "howto/people.md#what-each-group-may-do",
    "auth_*": "howto/people.md#who-may-do-what",
    "npd-settings": "howto/operate.md",
    "npd-advanced": "howto/people.md#what-each-group-opens",
    "sync_pause": "howto/operate.md#pause",
    "npd-home-act": "howto/resolve-conflicts.md#many-at-once",
    "sync_syncmetadata_*": "reference/tables.md#sync_metadata-the-sync-state",
    "sync_intent_*": "reference/tables.md#the-others",
    "sync_mondayaccount_*": "reference/tables.md#the-others",
    "sync_webhookevent_*": "reference/http.md#webhooks",
    "django_celery_beat_*": "howto/run-on-real-servers.md#the-processes",
    "mfa_*": "howto/people.md#sign-in-safely",
    "account_*": "howto/people.md#sign-in-safely",
    "usersessions_*": "howto/people.md#sign-in-safely",
    "password_change*": "howto/people.md#sign-in-safely",
}
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


@cache
def pages() -> dict[str, str]:
    """Return each page's text by its name in docs/. Requests are looked up here, so they can't read other files."""
    paths = [path for pattern in SERVED for path in DOCS.glob(pattern)]
    return {path.relative_to(DOCS).as_posix(): COMMENT.sub("", path.read_text()) for path in paths}


def title_of(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def help_url(request: HttpRequest) -> str:
    """Return the address of the help page about the requested page, or of the list of all."""
    view = (request.resolver_match and request.resolver_match.url_name) or ""
    page = next((page for pattern, page in HELP_OF_VIEWS.items() if fnmatch.fnmatch(view, pattern)), "")
    return reverse("npd-help-start") + page


@cache
def help_sections() -> list[tuple[str, str, str, str]]:
    """Return the sections of the how-tos: heading, title of the page, text and address."""
    names = [name for name in pages() if name.startswith(("howto/", "connect-monday"))]
    return [
        (heading, title_of(pages()[name]), text, f"{reverse('npd-help-start')}{name}#{slugify(heading)}")
        for name in sorted(names)
        for heading, text in re.findall(r"^##+ (.+)$((?:\n(?!##).*)*)", pages()[name], re.MULTILINE)
    ]


def help_start(request: HttpRequest) -> HttpResponse:
    """List the pages, those that everybody needs first."""
    unlisted = dict(pages())
    groups = []
    for heading, patterns in HEADINGS.items():
        names = [name for pattern in patterns for name in fnmatch.filter(sorted(unlisted), pattern)]
        groups.append((heading, [(title_of(unlisted.pop(name)), name) for name in names]))
    context = {**admin.site.each_context(request), "title": "Help", "groups": groups}
    return TemplateResponse(request, "npd/help.html", context)


def help_page(request: HttpRequest, name: str) -> HttpResponse:
    text = pages().get(name)
    if text is None:
        raise Http404("There is no help page of this name. The list of all is under Help.")
    # The frame shows the first heading.
    html = rendered(text.partition("\n")[2], name)
    context = {**admin.site.each_context(request), "title": title_of(text), "html": html}
    return TemplateResponse(request, "npd/help.html", context)


def rendered(text: str, name: str) -> SafeString:
    """Return Markdown as HTML with an anchor at each heading and escaped HTML.

    Links to other pages work as they are, because a page's address ends with its name.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", slugify(content.content))
    for token in tokens:
        drop_dead_links(token.children or [], name)
    html: str = parser.renderer.render(tokens, parser.options, {})
    # Wide tables and code scroll, by keys too.
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace("<table>", '<div class="npd-doc-wide" tabindex="0"><table>')
    html = html.replace("</table>", "</table></div>")
    return mark_safe(html)  # noqa: S308 - of our own files; their HTML is escaped


def drop_dead_links(children: list[Token], name: str) -> None:
    """Remove links to files that aren't pages, such as code, and keep their texts."""
    folder = PurePosixPath(name).parent
    for token in children:
        address = str(token.attrs.get("href", ""))
        path = address.partition("#")[0]
        is_elsewhere = address.startswith(("http://", "https://"))
        if path and not is_elsewhere and normpath(folder / path) not in pages():
            token.attrs.pop("href")
