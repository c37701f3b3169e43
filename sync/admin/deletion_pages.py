"""Deletions: what waits for approval, deleted records with their restore, and ignored items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import CharField, Max, Q, QuerySet, TextChoices, Value
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import (
    DeletedName,
    EntityFilter,
    PageAdmin,
    ReadOnlyAdmin,
    RecordLinkMixin,
    own_address,
    plain_column,
)
from sync.admin.confirmed_action import (
    MAX_ROWS_SHOWN,
    Choice,
    Question,
    RecordTable,
    Report,
    confirmed_rows,
    posted_number,
    run_action,
    selection,
)
from sync.admin.record_activity import FIELD_PARAMETER, activity_of
from sync.choices import ApprovalKind, ApprovalState, DeletedRecordPolicy, TombstoneState
from sync.kernel import humanize
from sync.kernel.messages import Conflict, TombstoneReason
from sync.models import ApprovalRequest, FieldMapping, IgnoredItem, Tombstone, WebhookEvent
from sync.records.approvals import approve, reject
from sync.records.authors import (
    deletion_authors,
    last_edit,
    latest_edits,
    log_action,
    log_action_many,
    monday_editor_name,
    monday_users,
    users_of,
)
from sync.records.availability import wait_sentence
from sync.records.tombstones import REMOVED_TOMBSTONE_STATES, rebuild_record, restore_by_person, tombstone_name
from sync.records.unmatched_items import consider_again
from sync.registry import item_url, link_of, record_url, type_label

KIND_LABELS = {
    ApprovalKind.ITEMS: "remove the item",
    ApprovalKind.RECORDS: "delete the record",
    ApprovalKind.CLEAR_MONDAY: "empty on Monday",
    ApprovalKind.CLEAR_NPD: "empty in NPD",
}

EFFECTS = {
    "approve": {
        ApprovalKind.ITEMS: "The items leave the board. People can restore them on Monday.",
        ApprovalKind.RECORDS: "The records are deleted in NPD. Each can be restored from “Deleted records”.",
        ApprovalKind.CLEAR_MONDAY: "The cells are emptied on Monday, as they are in NPD.",
        ApprovalKind.CLEAR_NPD: "The fields are emptied in NPD, as they are on Monday.",
    },
    "reject": {
        ApprovalKind.ITEMS: (
            "The records stay deleted in NPD. Their items stay on Monday as they are, and no new records are created "
            "from them. To have a record back, restore it from “Deleted records”."
        ),
        ApprovalKind.RECORDS: "The records stay in NPD; under “Conflicts” you are asked what becomes of each.",
        ApprovalKind.CLEAR_MONDAY: "NPD gets the values back that are still on Monday.",
        ApprovalKind.CLEAR_NPD: "Monday gets the values back that are still in NPD.",
    },
}


def deleted_records_link(user: Any, label: str = "See the deleted records", query: str = "") -> SafeString | str:
    """Return a link to where deleted records are restored; empty for who may not see them."""
    if not user.has_perm("sync.view_tombstone"):
        return ""
    return format_html(
        '<a class="npd-link" href="{}{}">{}</a>', reverse("admin:sync_tombstone_changelist"), query, label
    )


MOST_UNDONE = 100
"""Deleted records that one address names, to be restored together."""

KEYS = rf"\d{{1,18}}(?:,\d{{1,18}}){{0,{MOST_UNDONE - 1}}}"


def restore_link(request: HttpRequest, entity_type: str, keys: Sequence[Any]) -> SafeString | str:
    """Return a link that restores these records, deleted just now; empty for who may not, and where they are many."""
    user: Any = request.user
    may = user.has_perm("sync.view_tombstone") and registry.may_act(user, "add", entity_type)
    if not may or len(keys) > MOST_UNDONE:
        return ""
    rows = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=keys).order_by("pk")
    if not (named := ",".join(str(key) for key in rows.values_list("pk", flat=True))):
        return ""
    url = reverse("admin:sync_tombstone_restore", args=[named])
    return format_html('<a class="npd-link" href="{}?next={}">Undo…</a>', url, request.path)


def approvals_link(user: Any) -> SafeString | str:
    """Return a link to what waits for approval; empty for who may not see it."""
    if not user.has_perm("sync.view_approvalrequest"):
        return ""
    url = reverse("admin:sync_approvalrequest_changelist")
    return format_html('<a class="npd-link" href="{}?state__exact=pending">See Approvals</a>', url)


def cause_authors(acts: Sequence[ApprovalRequest]) -> dict[int, str]:
    """Return who caused these requests, and when, by their keys, as far as that is known."""
    return dict(_npd_authors(acts)) | dict(_monday_authors(acts)) | dict(_deleters(acts))


def _npd_authors(acts: Sequence[ApprovalRequest]) -> Iterator[tuple[int, str]]:
    for entity_type in {act.entity_type for act in acts}:
        clears = [a for a in acts if a.kind == ApprovalKind.CLEAR_MONDAY and a.entity_type == entity_type]
        model = registry.entity(entity_type).model
        histories = latest_edits(model, {act.entity_id for act in clears})
        users = users_of(event for history in histories.values() for event in history)
        mappings = FieldMapping.objects.filter(link__entity_type=entity_type)
        attnames = {m.key: [model._meta.get_field(name).attname for name in m.fields] for m in mappings}  # type: ignore[union-attr]
        for act in clears:
            edit = last_edit(histories.get(act.entity_id, []), attnames.get(act.key, []), users)
            if edit:
                # By which way unless that says the same.
                who = edit.who if not edit.way or edit.who in edit.way else f"{edit.who} ({edit.way})"
                yield (act.pk, f"emptied by {who}, {humanize.day_and_time(edit.at)}")


def _monday_authors(acts: Sequence[ApprovalRequest]) -> Iterator[tuple[int, str]]:
    clears = [act for act in acts if act.kind == ApprovalKind.CLEAR_NPD]
    columns = {
        (entity_type, key): column
        for entity_type, key, column in FieldMapping.objects.values_list("link__entity_type", "key", "column_id")
    }
    people = monday_users() if clears else {}
    for act in clears:
        events = WebhookEvent.objects.filter(item_id=act.remote_id, column_id=columns.get((act.entity_type, act.key)))
        event = events.order_by("-id").first()
        if event and (user := event.user_id):
            yield (act.pk, f"emptied by {monday_editor_name(user, people)}, {humanize.day_and_time(event.received_at)}")


def _deleters(acts: Sequence[ApprovalRequest]) -> Iterator[tuple[int, str]]:
    removals = {act.entity_id: act for act in acts if act.kind == ApprovalKind.ITEMS}
    authors = deletion_authors((act.entity_type, act.entity_id) for act in removals.values())
    tombstones = Tombstone.objects.filter(entity_id__in=list(removals))
    for entity_id, at in tombstones.values_list("entity_id", "deleted_at"):
        author = authors.get(entity_id)
        who = f"by {author.by}, " if author else ""
        yield removals[entity_id].pk, f"deleted {who}{humanize.day_and_time(at)}"


# Waiting for approval: deletes and emptied fields that are too many to be meant, and a person's word on them.


NEWEST_KEY = "upto"
"""The newest act that a page had counted, as its form sends it."""

_BADGES = {
    ApprovalState.PENDING: ("warn", "gpp_maybe"),
    ApprovalState.APPROVED: ("go", "sync"),
    ApprovalState.REJECTED: ("go", "undo"),
    ApprovalState.RELEASED: ("off", "check"),
    ApprovalState.DONE: ("ok", "check_circle"),
    ApprovalState.KEPT: ("ok", "shield"),
}

_DECIDE = {"approve": approve, "reject": reject}


@admin.register(ApprovalRequest)
class ApprovalAdmin(RecordLinkMixin, ReadOnlyAdmin):
    """What the guard holds and has held."""

    list_display = ("standing", "about", "what", "since", "decided")
    list_display_links = ("standing",)
    list_filter = (("state", ChoicesCheckboxFilter), ("kind", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("label", "remote_id", "entity_id")
    search_help_text = "A record's name, or the number of its item"
    ordering = ("-id",)
    actions = ("approve_selected", "reject_selected")
    json_fields = ("values",)
    empty_title = "Nothing waits for approval"
    opens_with = "state__exact=pending"
    empty_words = (
        "When many records at once would be deleted or lose a value, nothing is deleted or emptied on the other side "
        "until a person approves it here."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalRequest]:
        """With who decided; without those of a list of which nobody had to decide, but where a state is asked for."""
        rows: QuerySet[ApprovalRequest] = super().get_queryset(request).select_related("decided_by")
        is_list = request.resolver_match and request.resolver_match.url_name == "sync_approvalrequest_changelist"
        unasked = Q(state=ApprovalState.DONE, decided_at=None)
        return rows.exclude(unasked) if is_list and not any("state" in name for name in request.GET) else rows

    standing = admin_base.badge_column("state", "State", _BADGES)

    what = plain_column("What", lambda act: KIND_LABELS[ApprovalKind(act.kind)], "kind")

    @admin.display(description="What would be lost", ordering="label")
    def about(self, act: ApprovalRequest) -> SafeString | str:
        """Return what would be deleted or emptied, with a link to its record where that is still there."""
        name = getattr(act, "page_names", {}).get((act.entity_type, act.entity_id))
        if name is None or isinstance(name, DeletedName):
            return act.label
        return format_html(
            '<a class="npd-link" href="{}">{}</a>', record_url(act.entity_type, act.entity_id), act.label
        )

    since = admin_base.time_column("at", "Since")

    decided = plain_column("Decided by", lambda act: act.decided_by.get_username() if act.decided_by else humanize.DASH)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_approvalrequest")

    @admin.action(description="Approve…", permissions=["steer"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[ApprovalRequest]) -> HttpResponse:
        return self._decide_selected(request, queryset, "approve")

    @admin.action(description="Reject…", permissions=["steer"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[ApprovalRequest]) -> HttpResponse:
        return self._decide_selected(request, queryset, "reject")

    def _decide_selected(
        self, request: HttpRequest, queryset: QuerySet[ApprovalRequest], decision: str
    ) -> HttpResponse:
        pending = queryset.filter(state=ApprovalState.PENDING)

        def question() -> Question:
            newest = pending.aggregate(pk=Max("pk"))["pk"] or 0
            hidden = [*selection(request, f"{decision}_selected"), (NEWEST_KEY, newest)]
            return approval_question(pending, decision, hidden)

        # All of a list means what the page had counted: what came since nobody has seen.
        counted = pending.filter(pk__lte=posted_number(request.POST.get(NEWEST_KEY, "")) or 0)
        run = partial(decide_approvals, request, of_chosen_kind(request, counted), decision)
        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)


_REMOVALS: dict[str, str] = {DeletedRecordPolicy.ARCHIVE: "Archive", DeletedRecordPolicy.DELETE: "Delete"}


def decision_label(pending: QuerySet[ApprovalRequest], kind: ApprovalKind, decision: str) -> str:
    """Say with its number what approving changes of one kind deletes or empties, or what rejecting them keeps."""
    acts = pending.filter(kind=kind)
    number, types = acts.count(), list(acts.order_by().values_list("entity_type", flat=True).distinct())
    entity_type = types[0] if len(types) == 1 else ""
    if kind is ApprovalKind.RECORDS:
        verb = "Delete" if decision == "approve" else "Keep"
        return f"{verb} {registry.count_of_type(number, entity_type)} in NPD"
    if kind is ApprovalKind.ITEMS:
        link = link_of(entity_type) if entity_type else None
        removal = _REMOVALS.get(link.deleted_record_policy, "Remove") if link else "Remove"
        return f"{removal if decision == 'approve' else 'Keep'} {humanize.count_with_noun(number, 'item')} on Monday"
    verb = "Empty" if decision == "approve" else "Restore"
    side = "on Monday" if (kind is ApprovalKind.CLEAR_MONDAY) is (decision == "approve") else "in NPD"
    return f"{verb} {humanize.count_with_noun(number, 'field')} {side}"


def of_chosen_kind(request: HttpRequest, pending: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    """Those of the one kind that was chosen where the question had several; all where it had one."""
    only = request.POST.get("only")
    if only is None:
        return pending
    return pending.filter(kind=only) if only in ApprovalKind.values else pending.none()


def approval_question(
    pending: QuerySet[ApprovalRequest], decision: str, hidden: Sequence[tuple[str, object]]
) -> Question:
    number, records = pending.count(), pending.values("entity_type", "entity_id").distinct().count()
    if not number:
        return Question("Nothing of this is waiting any more", ["It was decided meanwhile, or its cause has ended."])
    kinds = [ApprovalKind(kind) for kind in pending.order_by("kind").values_list("kind", flat=True).distinct()]
    is_approved = decision == "approve"
    if len(kinds) == 1:
        button = decision_label(pending, kinds[0], decision)
        title = f"{button}?"
    else:
        changes = humanize.count_with_noun(number, "change")
        title = f"{decision.capitalize()} {changes} of {humanize.count_with_noun(records, 'record')}?"
        button = f"Yes, {decision} {changes}"
    return Question(
        title,
        [EFFECTS[decision][kind] for kind in kinds],
        button,
        [_approval_table(pending, kind) for kind in kinds],
        hidden,
        deletes=is_approved,
        # Deletions and emptied fields are never one button.
        choices=[Choice(decision_label(pending, kind, decision), kind, deletes=True) for kind in kinds]
        if is_approved and len(kinds) > 1
        else (),
    )


_WAITING_HEADS = {
    ApprovalKind.ITEMS: "Item of",
    ApprovalKind.RECORDS: "Record",
    ApprovalKind.CLEAR_MONDAY: "Field",
    ApprovalKind.CLEAR_NPD: "Field",
}


def _approval_table(pending: QuerySet[ApprovalRequest], kind: ApprovalKind) -> RecordTable:
    """List what would be lost of one kind, under what would be done with it, and by whom it came about."""
    of_kind = pending.filter(kind=kind)
    shown = list(of_kind.order_by("pk")[:MAX_ROWS_SHOWN])
    authors = cause_authors(shown)
    rows = []
    for act in shown:
        # That its record was deleted stands above them all.
        what = act.values.get("record", act.label) if kind is ApprovalKind.ITEMS else act.label
        rows.append((what, type_label(act.entity_type), authors.get(act.pk, "")))
    label = decision_label(pending, kind, "approve")
    title = f"Waits for approval: {label[0].lower()}{label[1:]}"
    if kind is ApprovalKind.ITEMS:
        title += "; their records were deleted in NPD"
    return RecordTable((_WAITING_HEADS[kind], "Type", "By whom"), rows, of_kind.count(), title)


def decide_approvals(request: HttpRequest, pending: QuerySet[ApprovalRequest], decision: str) -> Report:
    entity_types = list(pending.order_by().values_list("entity_type", flat=True).distinct())
    number = _DECIDE[decision](pending, request.user)  # type: ignore[arg-type]  # nobody anonymous gets here
    if not number:
        return Report(problems=["None of these waits any more: they were decided, or their cause has ended."])
    done = {"approve": "approved", "reject": "rejected: nothing is deleted or emptied"}[decision]
    then = wait_sentence(number, entity_types) or "Each is done within seconds."
    return Report(f"{humanize.count_with_noun(number, 'change')} {done}. {then}")


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
_WITHOUT_ITEM = (TombstoneState.DELETED, TombstoneState.NOTHING_LEFT, TombstoneState.RESTORED)


def _restore_effects(number: int) -> list[str]:
    what = "its id and the values that it had when it was deleted"
    item = "If its item is on the board, or back there, both are linked again; if not, it gets a new item."
    if number > 1:
        item = "One whose item is on the board, or back there, is linked with it again; any other gets a new item."
    return [
        f"{humanize.plural(number, 'It', 'Each')} comes back with {what}.",
        "Records that referred to it are not linked with it again automatically.",
        f"{item} To undo it, delete {humanize.plural(number, 'the record', 'the records')} again.",
    ]


def _may_restore(row: Any) -> bool:
    is_gone = row.state != TombstoneState.RESTORED and row.reason_code != TombstoneReason.ERASED
    return is_gone and row.entity_type in row.page_may_restore


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnlyAdmin):
    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["npd/record.css"]}

    list_display = ("name", "kind", "deleted", "by", "outcome", "restore")
    list_before_template = "sync/tombstone_list.html"
    told_columns = ("note", "state", "deleted_at")
    summary = ("kind", "deleted", "by", "outcome", "what_now", "item", "values_then")
    list_filter = (("state", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("monday_id", "entity_id", "data__name")
    search_help_text = "A record's name, or the number of its item"
    ordering = ("-deleted_at",)
    json_fields = ("data",)
    actions = ("bring_back",)
    change_form_outer_before_template = "sync/tombstone_buttons.html"
    change_form_outer_after_template = "sync/record_activity.html"
    empty_title = "Nothing was deleted"
    empty_words = "What is deleted in NPD is listed here, with what became of its item. For 30 days it can be restored."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        may_add = [
            spec.entity_type for spec in registry.entities() if registry.may_act(request.user, "add", spec.entity_type)
        ]
        rows = rows.annotate(page_may_restore=Value(may_add, ArrayField(CharField())))
        # A restored one is a record again: it is listed where it is asked for.
        is_list = request.resolver_match and request.resolver_match.url_name == "sync_tombstone_changelist"
        if is_list and request.GET.keys().isdisjoint((SEARCH_VAR, "state__exact", "state__in", "state")):
            rows = rows.exclude(state=TombstoneState.RESTORED)
        return rows

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.restore_some)
        return [re_path(rf"^(?P<keys>{KEYS})/restore/$", view, name="sync_tombstone_restore"), *super().get_urls()]

    def prepare_page(self, rows: list[Any]) -> None:
        super().prepare_page(rows)
        links = {kind: link_of(kind) for kind in {row.entity_type for row in rows}}
        authors = deletion_authors((row.entity_type, row.entity_id) for row in rows)
        for row in rows:
            author = authors.get(row.entity_id)
            row.page_link, row.page_by = links[row.entity_type], author.by if author else ""

    def row_context(self, request: HttpRequest, row: Tombstone) -> dict[str, Any]:
        """Offer to bring the record back, to those who may; and tell its history, as its own page would."""
        record = rebuild_record(registry.entity(row.entity_type).model, row)
        return super().row_context(request, row) | {
            "may_bring_back": _may_restore(row),
            "deleted_records": reverse("admin:sync_tombstone_changelist"),
            "activity": activity_of(record, reader=request.user, field=request.GET.get(FIELD_PARAMETER, "")),
            "sync_may_push": registry.may_act(request.user, "change", row.entity_type),
            "sync_page": request.path,
        }

    @admin.display(description="Record")
    def name(self, row: Tombstone) -> str:
        return tombstone_name(row) or str(row.entity_id)

    kind = admin_base.type_column()

    by = plain_column("By", lambda row: row.page_by or humanize.DASH)

    @admin.display(description="Restore")
    def restore(self, row: Tombstone) -> SafeString | str:
        if not _may_restore(row):
            return ""
        return format_html(
            '<button class="npd-button" type="submit" form="npd-restore" name="_selected_action" value="{}"'
            ' aria-label="Restore {}">Restore…</button>',
            row.pk,
            self.name(row),
        )

    item = plain_column("Its item's number", lambda row: row.monday_id or humanize.DASH)
    deleted = admin_base.time_column("deleted_at", "Deleted")

    @admin.display(description="Its item", ordering="state")
    def outcome(self, row: Any) -> SafeString:
        """What became of the item, with the way to it where Monday still shows it: in its archive, too."""
        badge = admin_base.badge(*_STATES[TombstoneState(row.state)])
        if not row.monday_id or row.page_link is None or row.state in _WITHOUT_ITEM:
            return badge
        label = f"Open the item of {self.name(row)} on Monday, in a new tab"
        return format_html(
            "{} {}", badge, admin_base.external_link(item_url(row.page_link, row.monday_id), "Open", label)
        )

    @admin.display(description="Its values")
    def values_then(self, row: Tombstone) -> SafeString | str:
        """Return the values that it had, those that say something, under their labels."""
        own = (
            registry.own_fields(registry.entity(row.entity_type).model)
            if registry.is_registered(row.entity_type)
            else []
        )
        shown = [(one, row.data.get(one.attname)) for one in own if not one.is_relation]
        lines = [
            (str(one.verbose_name).capitalize(), ", ".join(value) if isinstance(value, list) else value)
            for one, value in shown
            if value
        ]
        return format_html_join(SafeString("<br>"), "{}: {}", lines) or humanize.DASH

    what_now = plain_column(
        "What happened", lambda row: row.note or "Deleted in NPD. Its item has not been checked yet."
    )

    @admin.action(description="Restore…")
    def bring_back(self, request: HttpRequest, queryset: QuerySet[Tombstone]) -> HttpResponse:
        """Make records again as they were, after a page that says what that means."""
        hidden = partial(selection, request, "bring_back")
        return self._restore(request, queryset, hidden, back_url=request.get_full_path())

    def restore_some(self, request: HttpRequest, keys: str) -> HttpResponse:
        """Undo a deletion of several; a GET asks."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        deleted = self.get_queryset(request).exclude(state=TombstoneState.RESTORED).filter(pk__in=keys.split(","))
        back_url = own_address(request, request.GET.get("next")) or reverse("admin:sync_tombstone_changelist")
        return self._restore(request, deleted, lambda total: (), back_url=back_url, asked_by_get=True)

    def _restore(
        self, request: HttpRequest, queryset: QuerySet[Tombstone],
        hidden: Callable[[int], Sequence[tuple[str, object]]], **more: Any,
    ) -> HttpResponse:  # fmt: skip
        kinds = queryset.order_by().values_list("entity_type", flat=True).distinct()
        may_add = all(registry.may_act(request.user, "add", kind) for kind in kinds)

        def question() -> Question:
            rows = queryset.order_by("deleted_at")[:MAX_ROWS_SHOWN]
            cells = [(self.name(row), type_label(row.entity_type), _item_text(row)) for row in rows]
            table = RecordTable(("Record", "Type", "Its item"), cells, queryset.count())
            if not table.total:
                return Question("Nothing to restore", ["They are restored already."])
            label = f"Restore {humanize.count_with_noun(table.total, 'deleted record')}"
            return Question(f"{label}?", _restore_effects(table.total), label, [table], hidden(table.total))

        def run() -> Report:
            if not may_add:
                return Report(problems=["Restoring needs the permission to add such records."])
            restored, errors = 0, []
            for row in confirmed_rows(request, queryset).order_by("deleted_at"):
                try:
                    restore_by_person(row, request.user.get_username())
                    log_action(request.user, row, "Restored.")
                    restored += 1
                except Conflict as refused:
                    errors.append(str(refused))
            done = f"{humanize.count_with_noun(restored, 'record')} restored. The next sync updates the items."
            return Report(done if restored else "", errors)

        asked = question if may_add else None
        return run_action(self, request, run, question=asked, atomic=False, **more)


class RestoredItem(TextChoices):
    """Which item a deleted record has once it is restored, as far as that is known before."""

    OWN = "own", "It is linked with its item again."
    OWN_OR_NEW = (
        "own_or_new",
        "Its item had left the board. If it is back there, it is linked again; else it gets a new one.",
    )
    NEW = "new", "It had none and gets one."


def restored_item(row: Tombstone) -> RestoredItem:
    """Say which item a record gets; what became of one that left the board only its next sync asks Monday."""
    if not row.monday_id:
        return RestoredItem.NEW
    return RestoredItem.OWN_OR_NEW if row.state in REMOVED_TOMBSTONE_STATES else RestoredItem.OWN


def _item_text(row: Tombstone) -> str:
    number = f" (Item {row.monday_id})" if row.monday_id else ""
    return f"{restored_item(row).label}{number}"


@admin.register(IgnoredItem)
class IgnoredItemAdmin(PageAdmin):
    """Items that are not to become records; considering one again, or deleting its row, asks again."""

    list_display = ("item_id", "kind", "why", "reason", "moment")
    list_filter = (EntityFilter, "unlinked")
    search_fields = ("item_id", "reason", "entity_id")
    search_help_text = "An item's number, or why it is ignored"
    ordering = ("-id",)
    actions = ("consider_again",)
    readonly_fields = ("entity_type", "item_id", "reason", "unlinked", "entity_id", "at")
    empty_title = "No item is ignored"
    empty_words = (
        "Items on Monday that somebody chose to leave alone are listed here. “Consider again” checks an item like a "
        "new one."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[IgnoredItem]:
        """Return all but those whose person was erased: considered again, the person would come back."""
        found: QuerySet[IgnoredItem] = super().get_queryset(request)
        return found.filter(erased=False)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Consider again", permissions=["delete"])
    def consider_again(self, request: HttpRequest, queryset: QuerySet[IgnoredItem]) -> None:
        """Forget the refusals and look at the items as at new ones."""
        self.delete_queryset(request, queryset)

    def delete_model(self, request: HttpRequest, obj: IgnoredItem) -> None:
        self._consider(request, IgnoredItem.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[IgnoredItem]) -> None:
        with transaction.atomic():
            log_action_many(request.user, queryset, "To be considered again.", flag=DELETION)
            self._consider(request, IgnoredItem.objects.filter(pk__in=queryset.values("pk")))

    def _consider(self, request: HttpRequest, rows: QuerySet[IgnoredItem]) -> None:
        number = consider_again(rows)
        self.message_user(request, f"{humanize.count_with_noun(number, 'item')} will be checked again.", messages.INFO)

    kind = admin_base.type_column()

    @admin.display(description="Ignored as")
    def why(self, row: IgnoredItem) -> str:
        """Return whether it was let go, belongs to nobody, or is only not a certain record's."""
        if row.unlinked:
            return "Unlinked from its record" if row.entity_id else "Left alone"
        return "Not the item of one record" if row.entity_id else "Never becomes a record"

    moment = admin_base.time_column("at", "Ignored")
