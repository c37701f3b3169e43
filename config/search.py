"""What Ctrl+K finds and does, the best first, each as far as this person may see or do it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import AutoField, Case, CharField, Count, IntegerField, Model, Q, QuerySet, TextField, Value, When
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import Resolver404, resolve, reverse
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from config.help_pages import help_pages
from config.navigation import RECORDS, sections
from sync import registry
from sync.choices import QueueStatus
from sync.kernel.db import LONGEST_SEARCH, misspelt_pattern, typed_phone_digits, unmarked_pattern
from sync.kernel.humanize import count_with_noun, one_line, shorten
from sync.models import SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.outbox.pauses import active_pauses
from sync.reconcile.lookups import FieldDisplay

RECENT = 5
SHOWN = 8
"""Of each group; the rest is in its list."""
LOOKED_AT = 50
"""Records of a type whose conflicts and jobs are found with them, also by what the records alone say."""

MISSPELT, MOST_MEANT = range(4, 21), 5
"""How many letters a word has that may have a wrong one, and how many words are looked for so: each is costly."""

ABOUT = (
    ("conflicts.SyncConflict", "call_split"),
    ("sync.SyncQueue", "queue"),
    ("sync.UnmatchedItem", "fiber_new"),
    ("sync.Tombstone", "delete"),
    ("sync.BoardLink", "view_kanban"),
)
"""What is searched besides the records, each with its icon."""
SEARCHED = "names, email addresses, phone numbers, numbers of items and jobs, pages, commands and help"


class Rank(IntEnum):
    """How well a text fits: the words that were typed, words that begin so, or anything that holds them."""

    WORD = 0
    BEGINNING = 1
    REST = 2


@dataclass(frozen=True)
class Hit:
    """Something that was found: where it leads, or what it does: `post` to its address, or the colours of `theme`.

    `also` is what others call it, by which it is found, too.
    """

    title: str
    about: str
    icon: str
    url: str = ""
    rank: int = Rank.REST
    post: Mapping[str, str] | None = None
    theme: str = ""
    also: str = ""


@dataclass(frozen=True)
class Group:
    """What was found of one sort, the best first; `more_url` lists the rest where there is more."""

    title: str
    hits: Sequence[Hit] = field(default_factory=list)
    more_url: str = ""

    @property
    def rank(self) -> int:
        return min(hit.rank for hit in self.hits)


@never_cache
@require_GET
def search_page(request: HttpRequest) -> HttpResponse:
    """Answer with what is found for `s`, as the part of a page; without one with the commands."""
    term = one_line(request.GET.get("s", ""))[:LONGEST_SEARCH]
    context = {"term": term, "groups": found(request, term), "searched": SEARCHED}
    return TemplateResponse(request, "npd/search.html", context)


def found(request: HttpRequest, term: str) -> list[Group]:
    """Return what is found, by groups; the group of the best hit first."""
    commands = _ranked(_commands(request), term)
    if not term:
        both = Group("Recently changed by you", _recent(request)), Group("Commands", commands)
        return [group for group in both if group.hits]
    pages = (("Pages", _pages(request)), ("Help", _help()))
    groups = [*_rows(request, term), Group("Commands", commands)]
    groups += [Group(title, _ranked(hits, term)) for title, hits in pages]
    return sorted((group for group in groups if group.hits), key=lambda group: group.rank) or _meant(request, term)


def _meant(request: HttpRequest, term: str) -> list[Group]:
    """Whom somebody may have meant who typed a letter wrong: every word is one of the name, or nearly so."""
    words = re.findall(r"[^\W_]+", term)[:MOST_MEANT]
    hits: list[Hit] = []
    for spec in registry.entities() if any(len(word) in MISSPELT for word in words) else ():
        lists = _admin_of(request, spec.model)
        if not lists or spec.name_field not in lists.get_search_fields(request):
            continue
        rows, opts = lists.get_queryset(request).order_by(spec.name_field), spec.model._meta
        for word in words:
            form = misspelt_pattern(word) if len(word) in MISSPELT else unmarked_pattern(word)
            rows = rows.filter(**{f"{spec.name_field}__iregex": rf"(^|\W)({form})(\W|$)"})
        about = capfirst(str(opts.verbose_name))
        hits += [Hit(str(row), about, spec.icon, registry.record_url(spec.entity_type, row.pk)) for row in rows[:SHOWN]]
    return [Group("Did you mean", hits[:SHOWN])] if hits else []


def _ranked(hits: Iterator[Hit], term: str) -> list[Hit]:
    """Those whose title holds the term, the best first; without a term all of them in their order."""
    ranked = [(rank_of(term, f"{hit.title}\n{hit.also}"), hit) for hit in hits]
    fits = [replace(hit, rank=rank) for rank, hit in ranked if rank is not None]
    return sorted(fits, key=lambda hit: hit.rank)[:SHOWN] if term else fits


def rank_of(term: str, text: str) -> Rank | None:
    """Return how well a text fits what was typed; None where it doesn't hold every word of it."""
    if not term:
        return Rank.REST
    wanted = unmarked_pattern(term)
    if re.search(rf"(?<!\w){wanted}(?!\w)", text):
        return Rank.WORD
    if re.search(rf"(?<!\w){wanted}", text):
        return Rank.BEGINNING
    return Rank.REST if all(re.search(unmarked_pattern(word), text) for word in term.split()) else None


# The rows of lists: records first, then what is about them.


def _rows(request: HttpRequest, term: str) -> Iterator[Group]:
    ranks: dict[Any, int] = {}
    for spec in registry.entities():
        if lists := _admin_of(request, spec.model):
            rows = _found_records(request, lists, spec, term)
            ranks |= {row.pk: row.page_rank // 3 for row in rows}
            about = _told_of(lists.get_search_fields(request), rows, spec, term)
            yield _group(request, lists, spec.icon, term, rows, ranks, about)
    for label, icon in ABOUT:
        if lists := _admin_of(request, apps.get_model(label)):
            rows = _found_about(request, lists, term, list(ranks))
            yield _group(request, lists, icon, term, rows, ranks)


def _admin_of(request: HttpRequest, model: type[Model]) -> Any:
    """The list of a model, where this person may see it."""
    found_admin = admin.site._registry.get(model)
    return found_admin if found_admin and found_admin.has_view_permission(request) else None


def _found_records(request: HttpRequest, lists: Any, spec: registry.EntitySpec, term: str) -> list[Any]:
    """The records that a search in their list finds, the best first.

    The word itself before its beginnings; of each, names that begin so before other names, then other texts.
    """
    rows, _ = lists.get_search_results(request, lists.get_queryset(request), term)
    own = {one.name: one for one in spec.model._meta.concrete_fields}
    texts = [name for name in lists.get_search_fields(request) if isinstance(own.get(name), (CharField, TextField))]
    names = [spec.name_field] if spec.name_field in own else []
    start, ends = "^" + unmarked_pattern(term), r"([^[:alnum:]]|$)"
    word = r"(^|[^[:alnum:]])" + unmarked_pattern(term)
    steps = (
        (names, start + ends), (names, word + ends), (texts, word + ends), (names, start), (names, word), (texts, word),
    )  # fmt: skip
    cases = [When(_matching(fields, pattern), then=Value(number)) for number, (fields, pattern) in enumerate(steps)]
    rank = Case(*[case for case in cases if case.condition], default=Value(3 * Rank.REST), output_field=IntegerField())
    order = lists.get_ordering(request) or spec.model._meta.ordering or ()
    named = [field.name for field in registry.own_relations(spec.model)]
    return list(rows.annotate(page_rank=rank).select_related(*named).order_by("page_rank", *order)[:LOOKED_AT])


def _told_of(searched: Sequence[str], rows: Sequence[Any], spec: registry.EntitySpec, term: str) -> dict[Any, str]:
    """The text beside each record's name that has the most of the term, its own or a related name; else its first.

    Of a phone number that was typed, the number.
    """
    wanted, digits = [unmarked_pattern(word) for word in term.split()], typed_phone_digits(term)

    def held(text: str) -> int:
        """How many of the words a text has."""
        return sum(bool(re.search(one, text)) for one in wanted)

    related = [
        field
        for field in registry.own_relations(spec.model)
        if any(one.startswith(f"{field.name}__") for one in searched)
    ]
    fields = [one.name for one in registry.own_fields(spec.model) if isinstance(one, (CharField, TextField))]
    link = registry.link_of(spec.entity_type) if rows else None
    mappings = {one.fields[0]: one for one in registry.mappings_of(link) if one.fields[0] in fields} if link else {}
    display = FieldDisplay(link, list(mappings.values()), rows) if link else None
    told = {}
    for row in rows:
        texts = {name: text for name in fields if name != spec.name_field and (text := getattr(row, name))}
        holding = [name for name in texts if digits and name in spec.phone_fields and digits in texts[name]]
        holding += sorted((name for name in texts if held(texts[name])), key=lambda name: -held(texts[name]))
        name = next(iter([*holding, *texts]), "")
        if (text := texts.get(name, "")) and display and name in mappings and len(mappings[name].fields) == 1:
            text = display.local(row, mappings[name], {name: text})
        if not holding and held(str(row)) < len(wanted):
            others = ((field, str(getattr(row, field.name) or "")) for field in related)
            named = (f"{capfirst(str(field.verbose_name))}: {name}" for field, name in others if held(name))
            item = f"Item {row.monday_id} on Monday"
            text = next(named, item if held(item) else text)
        told[row.pk] = shorten(one_line(text), 80)
    return told


def _matching(fields: Sequence[Any], pattern: str) -> Q:
    condition = Q()
    for name in fields:
        condition |= Q(**{f"{name}__iregex": pattern})
    return condition


def _found_about(request: HttpRequest, lists: Any, term: str, record_ids: Sequence[Any]) -> list[Any]:
    """The rows of a list that a search finds, with those about records that were found, and the one of a number."""
    model = lists.model
    rows: QuerySet[Any] = lists.get_queryset(request).order_by(*lists.get_ordering(request))
    if model._meta.label == "sync.BoardLink":
        return list(rows.filter(Q(board_id=term) | Q(shape__name__icontains=term) | Q(entity_type__istartswith=term)))
    named, _ = lists.get_search_results(request, rows, term)
    fields = {one.name for one in model._meta.concrete_fields}
    more = numbered = Q(pk__in=[])
    if "entity_id" in fields and record_ids:
        more |= Q(entity_id__in=record_ids)
    if isinstance(model._meta.pk, AutoField) and (number := term.removeprefix("#")).isdecimal():
        numbered = Q(pk=int(number[:18]))
        more |= numbered
    rows = rows.filter(Q(pk__in=named.order_by().values("pk")) | more) if more else named
    if model._meta.label == "sync.SyncQueue":
        # That a record is in the queue is no find: what failed is, and what somebody knows the number of.
        rows = rows.exclude(status=QueueStatus.COMPLETED).filter(Q(status=QueueStatus.FAILED) | numbered)
    if model._meta.label == "conflicts.SyncConflict":
        rows = rows.filter(resolved_at=None)
    return list(rows.distinct()[:LOOKED_AT])


def _group(
    request: HttpRequest,
    lists: Any,
    icon: str,
    term: str,
    rows: Sequence[Any],
    ranks: Mapping[Any, int],
    about: Mapping[Any, str] | None = None,
) -> Group:
    """A list's rows as hits; `about` is what stands beside the name of a record."""
    opts = lists.model._meta
    names = registry.record_names((row.entity_type, row.entity_id) for row in rows if hasattr(row, "entity_id"))
    hits = []
    for row in rows:
        is_numbered = isinstance(row.pk, int) and hasattr(row, "entity_id") and term.removeprefix("#") == str(row.pk)
        number = f" #{row.pk}" if is_numbered else ""
        known = names.get((row.entity_type, row.entity_id)) if hasattr(row, "entity_id") else ""
        # A board is called as on Monday, where that is known.
        title = known or str(getattr(row, "shape", {}).get("name") or "") or str(row)
        rank = ranks.get(row.pk, ranks.get(getattr(row, "entity_id", None), rank_of(term, title)))
        rank = Rank.WORD if is_numbered else rank
        beside = f"{capfirst(str(opts.verbose_name))}{number}" if about is None else about[row.pk]
        url = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk])
        hits.append(Hit(title, beside, icon, url, Rank.REST if rank is None else rank))
    hits.sort(key=lambda hit: hit.rank)
    more = f"{reverse(f'admin:{opts.app_label}_{opts.model_name}_changelist')}?{urlencode({'q': term})}"
    return Group(capfirst(str(opts.verbose_name_plural)), hits[:SHOWN], more if len(hits) > SHOWN else "")


def _pages(request: HttpRequest) -> Iterator[Hit]:
    for one in sections():
        if one.is_offered(request):
            yield Hit(one.title, "" if one.group == RECORDS else one.group, one.icon, one.link)


def _help() -> Iterator[Hit]:
    for page in help_pages():
        yield Hit(page.title, "", "help", reverse("npd-help", args=[page.name]))


def _commands(request: HttpRequest) -> Iterator[Hit]:
    """What this person may do from wherever they are; first what concerns the record whose page is open."""
    yield from _record_commands(request)
    for spec in sorted(registry.entities(), key=lambda one: one.board_title):
        if lists := _admin_of(request, spec.model):
            opts = lists.model._meta
            stem = f"admin:{opts.app_label}_{opts.model_name}"
            if lists.has_add_permission(request):
                yield Hit(f"Add {opts.verbose_name}", "", "add", reverse(f"{stem}_add"))
            if hasattr(lists, "has_import_permission") and lists.has_import_permission(request):
                url = reverse(f"{stem}_import")
                yield Hit(f"Import {opts.verbose_name_plural}", "CSV or XLSX", "upload_file", url)
            if hasattr(lists, "has_export_permission") and lists.has_export_permission(request):
                yield Hit(f"Export {opts.verbose_name_plural}", "CSV or XLSX", "download", reverse(f"{stem}_export"))
    if is_allowed(request.user, QueueAction.RETRY) and _admin_of(request, SyncQueue):
        yield from _sync_commands()
    if is_allowed(request.user, QueueAction.PAUSE):
        yield from _pause_commands(request.GET.get("from", ""))
    if registry.may_view(request.user, "conflicts.syncconflict"):
        yield Hit("Resolve the next conflict", "", "call_split", reverse("npd-oldest-conflict"))
    yield Hit("Dark mode", "", "dark_mode", theme="dark")
    yield Hit("Light mode", "", "light_mode", theme="light")
    yield Hit("Mode of the system", "Dark or light as it is", "computer", theme="auto")
    yield Hit("Help", "", "help", reverse("npd-help-start"))
    yield Hit("Sign out", "", "logout", reverse("account_logout"), post={}, also="Log out")


def _recent(request: HttpRequest) -> list[Hit]:
    """The records with which this person did something last."""
    seen = [spec for spec in registry.entities() if _admin_of(request, spec.model)]
    specs = {ContentType.objects.get_for_model(spec.model).pk: spec for spec in seen}
    lines = LogEntry.objects.filter(
        user_id=request.user.pk or 0, content_type__in=specs, object_id__isnull=False
    ).order_by("-pk")
    acted = lines.values_list("content_type", "object_id")[:LOOKED_AT]
    keys = list(dict.fromkeys((specs[kind].entity_type, UUID(key)) for kind, key in acted))[:RECENT]
    names = registry.record_names(keys)
    icons = {spec.entity_type: spec.icon for spec in seen}
    return [Hit(names[key], "", icons[key[0]], registry.record_url(*key)) for key in keys if key in names]


def _record_commands(request: HttpRequest) -> Iterator[Hit]:
    """What can be done with the record on whose page somebody is."""
    try:
        match = resolve(urlsplit(request.GET.get("from", "")).path)
    except (Resolver404, ValueError):  # "http://[" begins no address
        return
    for spec in registry.entities():
        opts = spec.model._meta
        stem = f"{opts.app_label}_{opts.model_name}"
        lists = _admin_of(request, spec.model)
        if not lists or match.url_name != f"{stem}_change":
            continue
        record = lists.get_object(request, match.kwargs["object_id"])
        if record is not None and lists.has_change_permission(request, record):
            url = reverse(f"admin:{stem}_sync_now", args=[record.pk])
            yield Hit("Sync now", str(record), "sync", url, post={})


def _sync_commands() -> Iterator[Hit]:
    """What is pending, of each board and of every, by the queue's own retry, whose page asks; what failed stays so."""
    pending = Counter(
        dict(
            SyncQueue.objects.filter(status=QueueStatus.PENDING)
            .order_by()
            .values_list("entity_type")
            .annotate(number=Count("id"))
        )
    )
    everything = ("", "everything", pending.total())
    named = [(one.entity_type, one.board_title.lower(), pending[one.entity_type]) for one in registry.entities()]
    for entity_type, name, number in (*named, everything):
        which = {"status__exact": QueueStatus.PENDING.value} | ({"entity_type": entity_type} if entity_type else {})
        about = f"{count_with_noun(number, 'pending job')}, at once" if number else "Nothing is pending"
        url = f"{reverse('admin:sync_syncqueue_changelist')}?{urlencode(which)}"
        asked = {"action": "retry", "select_across": "1", ACTION_CHECKBOX_NAME: "0"}
        yield Hit(f"Sync {name} now", about, "sync", url, post=asked)


def _pause_commands(back: str) -> Iterator[Hit]:
    """Pause and resume, of every board and of each; both lead back to the page that is open, and a pause asks."""
    paused = {pause.entity_type for pause in active_pauses()}
    for entity_type, name in [
        *((spec.entity_type, spec.board_title) for spec in registry.entities()),
        ("", "all sync"),
    ]:
        target = {"entity_type": entity_type, "back": back}
        title = name.lower() if entity_type else name
        if entity_type in paused:
            yield Hit(
                f"Resume {title}", "Sync goes on", "play_arrow", reverse("admin:sync_syncqueue_resume"), post=target
            )
        else:
            about = "Nothing is synced until somebody resumes it"
            asked = f"{reverse('admin:sync_syncqueue_pause')}?{urlencode(target)}"
            yield Hit(f"Pause {title}", about, "pause", asked)
