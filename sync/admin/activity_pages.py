"""The activity of all records and boards with its undo, and beside it the deleted records with their restore."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models.functions import Cast, Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, re_path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, DropdownFilter, TextFilter

from sync import addresses, attention, permissions, registry
from sync.admin import activity, admin_base, confirmed_action
from sync.admin.deletion_consequence import DeletionConsequence, deletion_consequence
from sync.admin.import_and_export import refused_rows_url
from sync.attention.cause_table import NO_NEW_ITEMS
from sync.choices import ActivityKind, TombstoneReason, TombstoneState
from sync.clock import sync_now
from sync.fields import field_values, lookups
from sync.fields.searches import words_of
from sync.kernel import as_uuid, grouped, humanize
from sync.kernel.acts import ACTS, Act, NotPossible
from sync.models import ActivityLine, MondayAccount, Tombstone, activity_lines
from sync.operations import activity_undo
from sync.records import authors, edits, item_links, tombstones
from sync.words.message import Message

ACTIVITY = "admin:sync_activityline_changelist"
DELETED = "admin:sync_tombstone_changelist"

# The deleted records' restore has the words of Home's act.
RESTORE = ACTS["restore_record"]

# The keys of at most 100 changes of a record in an address, separated by commas. 18 digits fit into a bigint.
KEYS = r"\d{1,18}(?:,\d{1,18}){0,99}"


class TabbedChangeList(admin_base.PageChangeList):
    """The activity or the deleted records, with a tab for each of the two that this person may see."""

    def get_results(self, request: HttpRequest) -> None:
        user: Any = request.user
        tabs = [("All", ACTIVITY, "sync.view_activityline"), ("Deleted records", DELETED, "sync.view_tombstone")]
        # The list of one act has no current tab, so “All” leads back.
        here = "" if "fold_id" in request.GET else request.path
        urls = [(label, reverse(name)) for label, name, permission in tabs if user.has_perm(permission)]
        self.tabs = [admin_base.ListTab(label, url, url == here) for label, url in urls]
        super().get_results(request)


def _deletion_consequences(steps: Sequence[activity_undo.UndoStep]) -> list[DeletionConsequence]:
    """Return what the deletions of an undo mean; references that it puts back itself are none of it."""
    deleted = [step.record for step in steps if step.deletes and step.record and not step.refusal]
    released = [step.record.pk for step in steps if step.releases and step.record]
    by_type = grouped(deleted, lambda record: record.entity_type())
    return [deletion_consequence(group, released) for group in by_type.values()]


def _undo_question(rows: Sequence[ActivityLine], title: str) -> confirmed_action.Question:
    # What stays is shown first, because the table may be cut.
    steps = sorted(activity_undo.plan_undo(rows), key=lambda step: (not step.refusal, step.deletes))
    values = [step for step in steps if not step.refusal and not step.deletes]
    deleted = [step.record for step in steps if not step.refusal and step.deletes and step.record]
    # The table shows what a value was and becomes.
    effects = [humanize.without_request_id(rows[0].sentence)] if len(rows) == 1 and not values else []
    button = ""
    if values:
        records = humanize.count_with_noun(len({step.line.entity_id for step in values}), "record")
        number = humanize.count_with_noun(len(values), "value")
        verb = humanize.plural(len(values), "goes", "go")
        effects.append(f"{number} of {records} {verb} back. If Monday changed one meanwhile, you are asked.")
        button = f"Put {number} back"
    if deleted:
        records = humanize.count_with_noun(len(deleted), "record")
        verb = humanize.plural(len(deleted), "is", "are")
        effects.append(f"{records} that the import made {verb} deleted in NPD, and can be restored.")
        consequences = _deletion_consequences(steps)
        # Several types may have the same consequence.
        sentences = [text for consequence in consequences for text in (*consequence.items, consequence.relations)]
        effects += dict.fromkeys(filter(None, sentences))
        if any(consequence.waits for consequence in consequences):
            effects.append(admin_base.link_to(reverse("admin:index"), "Open Home"))
        button = f"Undo and delete {records}"
    if left_alone := len(steps) - len(values) - len(deleted):
        effects.append(f"{humanize.count_with_noun(left_alone, 'change')} can't be undone here; the table says why.")
    cells = [_step_cells(step) for step in steps[: confirmed_action.MAX_ROWS_SHOWN]]
    table = confirmed_action.RecordTable(("Record", "Field", "Now", "After"), cells, len(steps))
    return confirmed_action.Question(title, effects, button, [table.without_empty_columns()], deletes=bool(deleted))


def _step_cells(step: activity_undo.UndoStep) -> tuple[object, ...]:
    url = ""
    if step.record and step.line.entity_id:
        url = addresses.record_url(step.line.entity_type, step.line.entity_id)
    outcome: SafeString | str = step.refusal
    if not outcome:
        note = format_html('<br><span class="npd-muted">{}</span>', step.note) if step.note else ""
        outcome = "Deleted" if step.deletes else format_html("{}{}", step.restored_text or "(empty)", note)
    now = step.current_text or ("" if step.refusal or step.deletes else "(empty)")
    return admin_base.link_to(url, step.name), step.label, now, outcome


def _words_of_answers(row: ActivityLine, number: int) -> str:
    """Return what the same answer to this number of questions about records did, or will do."""
    act = ACTS.get(str(row.values.get("choose")))
    if act is None or not act.answers:
        return ""
    records = registry.count_of_type(number, row.entity_type)
    if row.kind == ActivityKind.CONFLICT_CHOSEN:
        return Message("answers_chosen", act=act.label, records=records)
    items = humanize.count_with_noun(number, "item")
    copies = humanize.count_with_noun(number, "copy", "copies")
    return Message(f"answers_{act.code}", records=records, items=items, copies=copies)


class PersonFilter(TextFilter):
    """Filters the activity by a part of the name of who did something, or requested it."""

    title = "person"
    parameter_name = "person"
    template = "sync/person_filter.html"

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        """Add the names of those who may sign in here, and of those on Monday, as suggestions."""
        names = set(map(authors.full_name, User.objects.filter(is_staff=True, is_active=True)))
        names |= self.further_names()
        for choice in super().choices(changelist):
            choice["form"].fields[self.parameter_name].widget.attrs["list"] = "npd-people"
            yield choice | {"people": sorted(names)}

    def further_names(self) -> set[str]:
        people = MondayAccount.objects.filter(id=1).values_list("users", flat=True).first() or {}
        return {str(person["name"]) for person in people.values() if person.get("name")}

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        name = self.value()
        return queryset.filter(authors.done_by(name)) if name else queryset


class DeletedByFilter(PersonFilter):
    """Filters deleted records by a part of the name of who deleted them, as the admin's log has it."""

    def further_names(self) -> set[str]:
        return set()

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        name = self.value()
        return queryset.filter(entity_id__in=authors.deleted_by(name)) if name else queryset


class FieldFilter(DropdownFilter):
    """Filters the activity by a field, also of acts on several."""

    title = "field"
    parameter_name = "field"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = {mapping.key: mapping.label for spec in registry.entities() for mapping in spec.mappings}
        return sorted(labels.items(), key=lambda label: label[1])

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(key__in=fields_of(self.value())) if self.value() else queryset


def fields_of(key: str) -> set[str]:
    """Return the keys of entries about a field: its own, and the names of its parts."""
    mappings = [mapping for spec in registry.entities() for mapping in spec.mappings if mapping.key == key]
    return {key}.union(*(mapping.fields for mapping in mappings))


class KindFilter(DropdownFilter):
    """Filters the activity by what an entry is about; kinds with the same words are one."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        by_label = {str(kind.label): kind.value for kind in reversed(ActivityKind)}
        return sorted(((kind, label) for label, kind in by_label.items()), key=lambda option: option[1])

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        if self.value() not in ActivityKind.values:
            return queryset
        kind = ActivityKind(self.value())
        if kind is ActivityKind.DELETE:
            return queryset.filter(activity_lines.OF_DELETION)
        if kind is ActivityKind.EDIT:
            return queryset.filter(activity_lines.OF_EDIT)
        return queryset.filter(kind__in=[other for other in ActivityKind if other.label == kind.label])


class HappenedFilter(admin_base.DateFilter):
    """Filters the activity by the time of the edits, which may be days before they were synced."""

    column = "page_happened"


# With one of these parameters the list includes folded entries.
SHOW_FOLDED_PARAMETERS = (SEARCH_VAR, "batch_id", "fold_id", "field")

# The list shows the waiting edits of this many records at most; all of them are on the records' pages.
MAX_WAITING = 20
MAX_WAITING_SEARCHED = 1_000

# The list of one act or batch shows no edits that wait.
ACT_PARAMETERS = {"batch_id", "fold_id"}


class ActivityChangeList(TabbedChangeList):
    """A page of the activity. A row has an act's entries on one record; those on other records are folded into it."""

    def get_results(self, request: HttpRequest) -> None:
        """Replace the entries by the first one of each act on a record, with the act and its undo."""
        self.mappings = list(activity.board_mappings())
        super().get_results(request)
        if ORDER_VAR not in self.params:
            self.result_list.sort(key=lambda row: row.happened_at, reverse=True)
        acts = activity.acts_of(self.result_list, activity.labels_of(self.mappings), request)
        act_ids = {row.act_id for row in self.result_list if row.page_folded_count} - {None}
        states = activity_undo.undo_states(act_ids, request.user)
        undone = {row.undoes for row in self.result_list if row.page_folded_count and row.undoes}
        imports = ActivityLine.objects.filter(pk__in=undone, cause__has_key="file")
        undone_imports = {line.pk: line for line in imports}
        for act in acts:
            row: Any = act.row
            row.page_act = act
            row.page_offer = self._offer_of(request, act, states)
            summary = self._summary_of(row, undone_imports) if row.page_folded_count else ""
            row.page_sums_up = bool(summary)
            if row.undoes in undone_imports:  # which made records of other types, too
                row.page_type = undone_imports[row.undoes].entity_type
            act.line.sentence = summary or act.line.sentence
        self.result_list = [act.row for act in acts]
        may_see_boards = request.user.has_perm("sync.view_boardlink")
        links = {mapping.link.entity_type: mapping.link_id for mapping in self.mappings} if may_see_boards else {}
        for row in self.result_list:
            if link := links.get(row.entity_type):
                row.page_board_url = reverse("admin:sync_boardlink_change", args=[link])
        # Acts on several pages would have to be read to be counted.
        if self.multi_page:
            self.total_words = f"{self.paginator.count:,} lines of activity, those of one act together"
        else:
            self.result_count = len(acts)

    def _summary_of(self, row: Any, undone_imports: Mapping[int, ActivityLine]) -> str:
        """Return what an act did to all its records, if its first entry's sentence is about one of them only.

        `undone_imports` has the imports that were undone, by the undone entry.
        """
        number = row.page_folded_count + 1
        if row.is_rejected_removal:
            return ""
        if row.is_of_deletion:
            number = max(number, deleted_at_once(row.fold_id).count())
            return f"Deleted {registry.count_of_type(number, row.entity_type)} in NPD."
        if row.kind == ActivityKind.RESTORED:
            return f"Restored {registry.count_of_type(number, row.entity_type)}, as they were when they were deleted."
        if row.kind == ActivityKind.APPROVAL and row.actor:
            return f"{str(row.sentence).partition(':')[0]}: {registry.count_of_type(number, row.entity_type)}."
        if row.kind in (ActivityKind.CONFLICT_CHOSEN, ActivityKind.CONFLICT_SETTLED) and not row.key:
            return _words_of_answers(row, number)
        undone = undone_imports.get(row.undoes)
        if undone is None and not row.deletes_record:
            return ""
        file_name = f" of “{undone.cause['file']}”" if undone and undone.cause["file"] else ""
        return f"Undid the import{file_name}: {humanize.count_with_noun(number, 'record')}."

    def _offer_of(
        self, request: HttpRequest, act: activity.ActLines, states: Mapping[UUID, tuple[str, bool]]
    ) -> activity.UndoOffer:
        """Return the link that takes a whole act back: the restore of deleted records, else its undo."""
        row: Any = act.row
        back_url = request.get_full_path()
        if row.deletes_record and (row.page_lacks_record or row.page_folded_count):
            deleted = Tombstone.objects.filter(entity_id=row.entity_id)
            rows = deleted_at_once(row.fold_id) if row.fold_id else deleted
            return activity.UndoOffer(restore_url(request.user, rows, back_url, row.fold_id), RESTORE.button)
        if row.kind == ActivityKind.UNLINKED and row.actor and not row.page_lacks_record:
            return activity.UndoOffer(relink_url(request.user, row, back_url), ACTS["undo"].button)
        # Undoing one record would leave the others.
        return activity.act_offer(row, states, back_url) if row.page_folded_count else act.offer

    def url_for_result(self, result: Any) -> str:
        """Return the entry's page, or the record's page for an edit that waits."""
        if result.pk is None:
            return addresses.record_url(result.entity_type, result.entity_id)
        return str(super().url_for_result(result))

    def page_rows(self) -> list[Any]:
        """Add the edits that wait as unsaved entries, on the first page only."""
        stored = super().page_rows()
        if self.page_num > 1 or self.params.keys() & ACT_PARAMETERS:
            return stored
        is_filtered = bool(self.params.keys() - {ORDER_VAR})
        waiting = edits.waiting_edits(limit=MAX_WAITING_SEARCHED if is_filtered else MAX_WAITING)
        stored_edits = activity_lines.told_events({edit.entity_id for edit in waiting})
        entries = edits.entries_of(waiting, self.mappings)
        rows: list[Any] = [row for row in entries if (str(row.values["event"]), row.key) not in stored_edits]
        if is_filtered:
            named = {word: {*admin_base.record_ids_by_name(word), as_uuid(word)} for word in words_of(self.query)}
            rows = [row for row in rows if self._fits(row) and self._says(row, named)]
        now = stored[0].page_now if stored else sync_now()
        for row in rows:
            row.page_now = now
        return rows + stored

    def _fits(self, row: ActivityLine) -> bool:
        """Whether an unsaved entry fits the filters."""
        names = ("person", "kind", "field", admin_base.EntityFilter.parameter_name)
        person, kind, field, entity_type = (str(self.params.get(name, "")) for name in names)
        [times] = [spec.conditions() for spec in self.filter_specs if isinstance(spec, HappenedFilter)]
        return (
            authors.has_words(row.actor, person)
            and (kind not in ActivityKind.values or row.kind == kind)
            and (not field or row.key in fields_of(field))
            and entity_type in ("", row.entity_type)
            and times.get("gte", row.at) <= row.at
            and ("lt" not in times or row.at < times["lt"])
        )

    def _says(self, row: ActivityLine, named: Mapping[str, Collection[UUID | None]]) -> bool:
        """Whether an unsaved entry has each searched word, or is about one of the records that the word names."""
        text = " ".join([row.actor, row.sentence, *map(str, row.values.values())]).casefold()
        return all(row.entity_id in ids or word.casefold() in text for word, ids in named.items())


@admin.register(ActivityLine)
class ActivityLineAdmin(admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    changelist = ActivityChangeList
    list_display = ("moment", "record", "record_type", "change", "who")
    list_filter = (PersonFilter, KindFilter, FieldFilter, admin_base.EntityFilter, ("at", HappenedFilter))
    search_fields = ("sentence__says", "remote_id", "actor", "entity_id", "batch_id")
    search_help_text = "Name, what happened, who …"
    fields = ("record", "what_happened", "who", "moment", "what_led_to_it")
    list_before_template = "sync/list_tabs.html"
    empty_title = "Nothing was synced yet"
    empty_words = "This list shows everything that a sync sent, updated or asked."

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ActivityLine]:
        """Leave folded entries out of the list, unless it is searched or shows one act or batch."""
        rows = activity_lines.seen_by(request.user, super().get_queryset(request))
        rows = rows.alias(page_happened=Coalesce(activity_lines.HAPPENED_AT, "at"))
        if not self.is_list(request):
            return rows
        if "fold_id" in request.GET:
            # The values that created an item are many; the record's page lists them.
            rows = rows.exclude(cause__has_key="made", kind=ActivityKind.PUSH)
        if request.GET.keys().isdisjoint(SHOW_FOLDED_PARAMETERS):
            return rows.filter(folded=False)
        # An entry that is folded without an act repeats another one, such as a choice that was applied since.
        return rows.exclude(folded=True, fold_id=None)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Of an act whose listed line is found, find those folded into it only by their record's name."""
        rows, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        if ACT_PARAMETERS.isdisjoint(request.GET):
            found = rows.filter(folded=False, fold_id__isnull=False)
            folded = models.Q(folded=True, fold_id__in=found.order_by().values("fold_id"))
            named = {record for word in words_of(search_term) for record in admin_base.record_ids_by_name(word)}
            rows = rows.exclude(folded & ~models.Q(entity_id__in=named))
        return rows, may_have_duplicates

    def is_found_by(self, word: str) -> models.Q:
        """Find the entries by who did it, too."""
        return super().is_found_by(word) | authors.done_by(word)

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Put on each stored entry the number of the other records that are folded into it."""
        super().prepare_page(request, rows)
        activity.name_actors(rows)
        number = models.Count(Coalesce(Cast("entity_id", models.CharField()), "remote_id"), distinct=True)
        acts = ActivityLine.objects.filter(fold_id__in={row.fold_id for row in rows if row.fold_id}).order_by()
        records = dict(acts.values_list("fold_id").annotate(number=number))
        is_of_act = not ACT_PARAMETERS.isdisjoint(request.GET)
        for row in rows:
            row.page_folded_count = 0 if row.folded or is_of_act else records.get(row.fold_id, 1) - 1
            row.page_sums_up = False
            row.page_type = row.entity_type
            row.page_board_url = ""
            row.page_refused_url = ""
            if row.cause.get("refused"):
                row.page_refused_url = refused_rows_url(request.user, row)

    @admin.display(description="Record")
    def record(self, row: Any) -> SafeString | str | None:
        """Return a link to the record, or to the board that a line without one is about."""
        if row.page_sums_up:
            return registry.board_title(row.page_type)
        if row.entity_id is not None or row.remote_id or not row.entity_type:
            return super().record(row)
        return admin_base.link_to(row.page_board_url, registry.board_title(row.entity_type))

    @admin.display(description="What happened")
    def change(self, row: Any) -> SafeString:
        """Return what the act changed, a link to its other records, and its undo."""
        url = f"?{urlencode({'fold_id': str(row.fold_id)})}"
        more_records = ""
        if row.page_folded_count:
            # An import's own entry is about no record.
            noun = "more record" if row.subject else "record"
            count = humanize.count_with_noun(row.page_folded_count, noun, f"{noun}s")
            more_records = "Show each" if row.page_sums_up else f"… and {count}" if row.subject else count
        context = {"act": row.page_act, "offer": row.page_offer, "records": more_records, "records_url": url}
        context["refused_url"] = row.page_refused_url
        return SafeString(render_to_string("sync/activity_cell.html", context))

    @admin.display(description="When", ordering="at")
    def moment(self, row: Any) -> SafeString | str:
        """Return when the edit was made, and when it was synced if that was later."""
        happened = admin_base.time_tag(row.happened_at, row.page_now)
        if row.synced_at is None:
            return happened
        synced = humanize.short_time_element(row.synced_at)
        return format_html('{} <span class="npd-muted">synced {}</span>', happened, synced)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            re_path(rf"^(?P<keys>{KEYS})/undo/$", view(self.undo_some), name="sync_activityline_undo"),
            path("act/<uuid:act_id>/undo/", view(self.undo_act), name="sync_activityline_undo_act"),
            *super().get_urls(),
        ]

    def undo_some(self, request: HttpRequest, keys: str) -> HttpResponse:
        """Show what undoing the lines of an act would write; on POST, undo them."""
        pks = {int(key) for key in keys.split(",")}
        rows = list(ActivityLine.objects.filter(pk__in=pks).order_by("pk"))
        if missing := pks - {row.pk for row in rows}:
            raise Http404(f"There is no activity #{min(missing)}; it may be too old to be kept.")
        page_url = addresses.record_url(rows[0].entity_type, rows[0].entity_id) if rows[0].entity_id else ""
        title = "Undo this change?" if len(rows) == 1 else "Undo these changes?"
        return self._undo_page(request, rows, title, page_url or reverse(ACTIVITY))

    def undo_act(self, request: HttpRequest, act_id: UUID) -> HttpResponse:
        """Show what undoing an act on many records would write; on POST, undo it."""
        rows = list(activity_undo.lines_of_acts([act_id]).exclude(pk__in=activity_undo.undone_lines()))
        if not rows:
            raise Http404("Nothing of that can be undone: it is undone already, changed nothing, or is too old.")
        file_name = rows[0].cause.get("file")
        title = f"Undo the import of “{file_name}”?" if file_name else f"Undo what {activity.actor_of(rows[0])} did?"
        return self._undo_page(request, rows, title, reverse(ACTIVITY))

    def _undo_page(self, request: HttpRequest, rows: Sequence[ActivityLine], title: str, back_url: str) -> HttpResponse:
        if not activity_undo.may_undo(request.user, rows):
            raise PermissionDenied

        def run() -> confirmed_action.Report:
            steps = activity_undo.plan_undo(rows)
            consequences = [each for each in _deletion_consequences(steps) if each.waits]
            waiting = [sentence for consequence in consequences for sentence in consequence.items]
            result = activity_undo.undo_lines(rows, by=cast("User", request.user))
            restored = sum(not step.deletes for step in result.undone)
            deleted = len(result.undone) - restored
            parts = []
            if restored:
                parts.append(f"{humanize.count_with_noun(restored, 'value')} restored")
            if deleted:
                parts.append(f"{humanize.count_with_noun(deleted, 'record')} deleted")
            sentence: str = f"{' and '.join(parts)}." if parts else ""
            if not all(step.note for step in result.undone):  # else nothing is sent
                sentence += " The board follows by itself."
            if waiting:
                link = admin_base.link_to(reverse("admin:index"), "See what waits for approval")
                sentence = format_html("{} {} {}", sentence, " ".join(waiting), link)
            problems = [
                f"{step.name} · {step.label or 'the record'} was left alone: {step.refusal}"
                for step in result.left_alone
            ]
            return confirmed_action.Report(sentence, problems)

        question = partial(_undo_question, rows, title)
        return confirmed_action.run_action(self, request, run, admin_base.back_url(request, back_url), question)

    what_happened = admin_base.plain_column("What happened", lambda row: humanize.without_request_id(row.sentence))
    what_led_to_it = admin_base.plain_column(
        "What led to it", lambda row: humanize.without_request_id(activity_lines.causes_text(row)) or humanize.DASH
    )
    who = admin_base.plain_column("By", lambda row: row.page_by, "actor")


# The deleted records.

_STATES = {
    TombstoneState.WAITING: ("wait", "schedule", "Pending"),
    TombstoneState.ASKED: ("warn", "help", "Needs attention"),
    TombstoneState.PENDING_APPROVAL: ("warn", "front_hand", "Approval"),
    TombstoneState.ARCHIVED: ("off", "inventory_2", "Archived on Monday"),
    TombstoneState.DELETED: ("off", "delete", "Deleted on Monday"),
    TombstoneState.UNLINKED: ("off", "link_off", "Unlinked"),
    TombstoneState.KEPT: ("off", "push_pin", "Kept"),
    TombstoneState.NOTHING_LEFT: ("off", "check", "No item"),
    TombstoneState.RESTORED: ("ok", "undo", "Restored"),
}
# Nothing is left of an erased person.
_IS_RESTORABLE = ~models.Q(state=TombstoneState.RESTORED) & ~models.Q(reason_code=TombstoneReason.ERASED)
_WITHOUT_ITEM = (TombstoneState.DELETED, TombstoneState.NOTHING_LEFT, TombstoneState.RESTORED)


def deleted_records_link(user: Any, label: str) -> SafeString | str:
    """Return a link to the deleted records; empty for users who may not see them."""
    if not user.has_perm("sync.view_tombstone"):
        return ""
    return admin_base.link_to(reverse(DELETED), label)


def deleted_at_once(act_id: UUID) -> models.QuerySet[Tombstone]:
    """Return the records that were deleted in one act: by the `fold_id` of its lines, or by its history context."""
    lines = ActivityLine.objects.filter(fold_id=act_id)
    # What becomes of an item may be told later than the act.
    acts = {as_uuid(act or "") for act in lines.order_by().values_list("cause__act", flat=True).distinct()} - {None}
    of_act = models.Q(context_id__in={act_id, *acts})
    return Tombstone.objects.filter(of_act | models.Q(entity_id__in=lines.values("entity_id")))


def restore_url(user: Any, rows: models.QuerySet[Tombstone], back_url: str, act_id: UUID | None = None) -> str:
    """Return the page that restores what was deleted at once, and then goes back to `back_url`.

    `act_id` is that of `deleted_at_once`, by default the rows' history context. The address is empty for users who may
    not, and if nothing can be restored.
    """
    rows = rows.filter(_IS_RESTORABLE)
    types = set(rows.order_by().values_list("entity_type", flat=True).distinct())
    may_restore = user.has_perm("sync.view_tombstone") and all(permissions.may_act(user, "add", name) for name in types)
    if not types or not may_restore:
        return ""
    first, *others = rows.order_by("pk").values_list("pk", "context_id")[:2]
    if others:
        return reverse("admin:sync_tombstone_restore_act", args=[act_id or first[1]], query={"back": back_url})
    return reverse("admin:sync_tombstone_restore", args=[first[0]], query={"back": back_url})


def relink_url(user: Any, row: ActivityLine, back_url: str) -> str:
    """Return the page that links the records of an unlinking again; empty for who may not, or if none is unlinked."""
    ids = {row.entity_id}
    if row.fold_id:
        ids |= set(ActivityLine.objects.filter(fold_id=row.fold_id).values_list("entity_id", flat=True))
    model = registry.entity(row.entity_type).model
    unlinked = item_links.unlinked_items(row.entity_type, [*filter(None, ids)])
    if (
        not permissions.may_act(user, "change", row.entity_type)
        or not model.objects.filter(pk__in=unlinked, monday_id=None).exists()
    ):
        return ""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_link"
    if row.page_folded_count:  # type: ignore[attr-defined]  # prepare_page
        return reverse(f"{name}_act_again", args=[row.fold_id], query={"back": back_url})
    return reverse(f"{name}_again", args=[row.entity_id], query={"back": back_url})


NEW_ITEM_LATER = "New item, later"


def item_after_restore(row: Tombstone, held: Collection[str]) -> str:
    """Return which item a restored record gets; its next sync still links one that is back on the board meanwhile.

    `held` are the types whose boards get no new items for now.
    """
    if row.monday_id and row.state not in tombstones.REMOVED_TOMBSTONE_STATES:
        return "Linked again"
    return NEW_ITEM_LATER if row.entity_type in held else "New item"


def without_new_items(rows: models.QuerySet[Tombstone]) -> dict[str, attention.Entry]:
    """Return the types of these records whose boards get no new items for now, each with what is wrong."""
    waiting = attention.waiting(kinds=[attention.Kind.BOARD]).filter(
        entity_type__in=rows.order_by().values("entity_type"), code__in=NO_NEW_ITEMS
    )
    return {entry.entity_type: entry for entry in attention.entries(waiting)}


@admin.register(Tombstone)
class TombstoneAdmin(admin_base.ReadOnlyAdmin):
    """The deleted records, with their restore."""

    class Media:
        css = {"all": ["npd/record.css"]}

    changelist = TabbedChangeList
    list_display = ("name", "record_type", "deleted", "by", "outcome", "restore")
    list_before_template = "sync/list_tabs.html"
    fields = ("record_type", "deleted", "by", "outcome", "what_happened", "item_number", "deleted_values")
    list_filter = (
        DeletedByFilter,
        ("state", ChoicesCheckboxFilter),
        admin_base.EntityFilter,
        ("deleted_at", admin_base.DateFilter),
    )
    search_fields = ("monday_id", "entity_id", "data__name", "data__email")
    search_help_text = "Name, email, item's number …"
    ordering = ("-deleted_at",)
    change_form_outer_after_template = "sync/record_activity.html"
    empty_title = "Nothing was deleted"
    empty_words = (
        "This list shows the records that somebody deleted in NPD. You can restore them for "
        f"{settings.TOMBSTONE_DAYS} days."
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/restore/", view(self.restore_one), name="sync_tombstone_restore"),
            path("act/<uuid:act_id>/restore/", view(self.restore_act), name="sync_tombstone_restore_act"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Tombstone]:
        rows: models.QuerySet[Tombstone] = super().get_queryset(request)
        return rows.annotate(page_is_restorable=models.ExpressionWrapper(_IS_RESTORABLE, models.BooleanField()))

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        links = {entity_type: lookups.link_of(entity_type) for entity_type in {row.entity_type for row in rows}}
        deleted_by = authors.deletion_authors((row.entity_type, row.entity_id) for row in rows)
        names = authors.full_names(author.by for author in deleted_by.values())
        for row in rows:
            author = deleted_by.get(row.entity_id)
            row.page_link = links[row.entity_type]
            row.page_may_restore = row.page_is_restorable and permissions.may_act(request.user, "add", row.entity_type)
            row.page_by = names.get(author.by, author.by) if author else ""

    def row_buttons(self, request: HttpRequest, row: Any) -> list[admin_base.Button]:
        url = reverse("admin:sync_tombstone_restore", args=[row.pk])
        return [admin_base.Button(RESTORE.button, url=url)] if row.page_may_restore else []

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Add the record's activity."""
        record = tombstones.rebuild_record(registry.entity(row.entity_type).model, row)
        return super().row_context(request, row) | {"activity": activity.activity_of(record, request)}

    name = admin_base.plain_column("Record", lambda row: field_values.tombstone_name(row) or str(row.entity_id))
    record_type = admin_base.type_column()
    by = admin_base.plain_column("By", lambda row: row.page_by or humanize.DASH)
    item_number = admin_base.plain_column("Its item's number", lambda row: row.monday_id or humanize.DASH)
    deleted = admin_base.time_column("deleted_at", "Deleted")
    what_happened = admin_base.plain_column(
        "What happened", lambda row: row.note or "Deleted in NPD. The next sync checks its item."
    )

    @admin.display(description="Restore")
    def restore(self, row: Any) -> SafeString | str:
        if not row.page_may_restore:
            return ""
        return format_html(
            '<a class="npd-button" href="{}" aria-label="Restore {}">Restore…</a>',
            reverse("admin:sync_tombstone_restore", args=[row.pk]),
            self.name(row),
        )

    @admin.display(description="Its item", ordering="state")
    def outcome(self, row: Any) -> SafeString:
        """Return the item's state, with a link if Monday still shows the item (also in its archive)."""
        badge = humanize.badge(*_STATES[TombstoneState(row.state)])
        if not row.monday_id or row.page_link is None or row.state in _WITHOUT_ITEM:
            return badge
        label = f"Open the item of {self.name(row)} on Monday, in a new tab"
        link = admin_base.external_link(addresses.item_url(row.page_link, row.monday_id), "Open", label)
        return format_html("{} {}", badge, link)

    @admin.display(description="Its values")
    def deleted_values(self, row: Tombstone) -> SafeString | str:
        """Return the deleted record's non-empty values with their labels."""
        if not registry.is_registered(row.entity_type):
            return humanize.DASH
        lines = []
        for field in registry.own_fields(registry.entity(row.entity_type).model):
            value = None if field.is_relation else row.data.get(field.attname)
            if value:
                lines.append((str(field.verbose_name).capitalize(), field_values.field_text(field, value)))
        return format_html_join(SafeString("<br>"), "{}: {}", lines) or humanize.DASH

    def acts(self, request: HttpRequest) -> list[Act]:
        return [RESTORE]

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[Tombstone], act: Act) -> HttpResponse:
        return self._ask_and_restore(request, rows, request.get_full_path())

    def restore_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Restore a record after a question."""
        rows = Tombstone.objects.filter(pk=pk)
        return self._ask_and_restore(request, rows, admin_base.back_url(request, reverse(DELETED)))

    def restore_act(self, request: HttpRequest, act_id: UUID) -> HttpResponse:
        """Restore the records that were deleted at once, after a question."""
        return self._ask_and_restore(request, deleted_at_once(act_id), admin_base.back_url(request, reverse(DELETED)))

    def _ask_and_restore(
        self, request: HttpRequest, queryset: models.QuerySet[Tombstone], back_url: str
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        queryset = queryset.filter(_IS_RESTORABLE)
        types = queryset.order_by().values_list("entity_type", flat=True).distinct()
        if not all(permissions.may_act(request.user, "add", entity_type) for entity_type in types):
            raise PermissionDenied

        def question() -> confirmed_action.Question:
            hidden = confirmed_action.selection_fields(request, RESTORE.code, queryset)
            rows = queryset.order_by("deleted_at")[: confirmed_action.MAX_ROWS_SHOWN]
            held = without_new_items(queryset)
            cells = [
                (self.name(row), registry.type_label(row.entity_type), item_after_restore(row, held)) for row in rows
            ]
            table = confirmed_action.RecordTable(("Record", "Type", "Its item"), cells, queryset.count())
            if not table.total:
                return confirmed_action.Question("Nothing to restore", ["They are restored already."])
            label = f"Restore {humanize.count_with_noun(table.total, 'deleted record')}"
            title = f"Restore “{cells[0][0]}”?" if table.total == 1 else f"{label}?"
            links = "Links to what is restored come back, unless they point elsewhere by now."
            is_later = any(item == NEW_ITEM_LATER for _name, _type, item in cells)
            problems = [entry.sentence for entry in held.values() if is_later]
            effects = [*problems, RESTORE.effect, links, RESTORE.way_back]
            return confirmed_action.Question(title, effects, label, [table], hidden)

        def run() -> confirmed_action.Report:
            act_id = uuid.uuid4()
            restored = 0
            waiting = 0
            held = without_new_items(queryset)
            problems = []
            for row in confirmed_action.confirmed_rows(request, queryset).order_by("deleted_at"):
                try:
                    tombstones.restore_by_person(row, request.user.get_username(), act_id)
                except NotPossible as refused:
                    problems.append(str(refused))
                else:
                    authors.log_action(request.user, row, "Restored.")
                    restored += 1
                    waiting += item_after_restore(row, held) == NEW_ITEM_LATER
            number = humanize.count_with_noun(restored, "record")
            then = "The next sync compares them with their items."
            if waiting:
                stay = humanize.plural(waiting, "stays", "stay")
                why = " ".join(entry.title_sentence for entry in held.values())
                then = f"{waiting:,} of them {stay} pending without an item: {why}"
            sentence = f"{number} restored. {then}"
            return confirmed_action.Report(sentence if restored else "", problems)

        return confirmed_action.run_action(self, request, run, back_url, question)
