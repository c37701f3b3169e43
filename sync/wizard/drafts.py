"""A person draws up a set-up: every change is checked, counted as a revision, and told in the log.

Nothing here writes to Monday, nor to any table but the drafts' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from sync import acts_log, registry
from sync.boards import link_of
from sync.choices import Rule, SyncDirection
from sync.clock import SyncNow
from sync.engine.values import relation_of, target_of
from sync.models import BoardLink, SetupDraft, SetupState
from sync.registry import EntitySpec
from sync.wizard import permission
from sync.wizard.differing import Change, as_mapped, changes, in_words
from sync.wizard.errors import Unfit, WizardError
from sync.wizard.fields import Chosen, Told, Wanted, chosen_of, npd_id_column, problems, wanted_fields
from sync.wizard.meanwhile import WAS, standing_of
from sync.wizard.seen import check_seen, locked
from sync.wizard.suggesting import suggest

NEW, OUT = "new", "out"
"""Answers: the record gets an item of its own; the record stays out of the sync."""
LEAST_ALIKE, MOST_ALIKE = 60, 100
FIRST_MATCHES = (Rule.ASK, Rule.NPD_WINS, Rule.MONDAY_WINS)


def drafts() -> list[SetupDraft]:
    """Return the set-ups that are not carried out yet, in the order in which types are registered."""
    found = {draft.entity_type: draft for draft in SetupDraft.objects.exclude(state=SetupState.DONE)}
    return [found[spec.entity_type] for spec in registry.entities() if spec.entity_type in found]


def draft_of(entity_type: str) -> SetupDraft | None:
    """Return the type's set-up, carried out or not; None where none was drawn up."""
    return SetupDraft.objects.filter(entity_type=entity_type).select_related("changed_by").first()


def fields_of(entity_type: str) -> list[Wanted]:
    """Return what of a type may be mapped, its relations leading to the boards that are set up or drawn up."""
    spec = registry.entity(entity_type)
    targets = {}
    for one in spec.mappings:
        field = relation_of(spec.model, one.fields)
        if (
            field is not None
            and (board := board_in_view(target := target_of(field).entity_type())) is not None
        ):
            targets[one.key] = (target, board)
    return wanted_fields(spec, targets, link_of(entity_type))


def board_in_view(entity_type: str) -> str | None:
    """Return the board that a type has or will have; empty for one to be made, None for none at all."""
    draft = draft_of(entity_type)
    if draft is not None and draft.state != SetupState.DONE:
        return draft.board_id
    link = link_of(entity_type)
    return (link.board_id or None) if link is not None else None


def npd_id_of(draft: SetupDraft) -> str:
    """Return the column that holds the NPD ID; empty where it is to be made."""
    return npd_id_column(link_with(draft), draft.columns)


def link_with(draft: SetupDraft) -> BoardLink | None:
    """Return the type's board link, where it is about the draft's board."""
    link = link_of(draft.entity_type)
    return link if link is not None and draft.board_id and link.board_id == draft.board_id else None


def changes_of(draft: SetupDraft) -> list[Change]:
    """Return what a set-up changes in the mapping that is stored now, field by field."""
    before = as_mapped(link_with(draft))
    return changes(fields_of(draft.entity_type), before, chosen_of(draft.fields), draft.columns)


def draw_up(
    user: User, entity_type: str, board_id: str, name: str, columns: Mapping[str, Told], said: str, seen: int
) -> SetupDraft:
    """Begin a type's set-up with a board (none: one is to be made) and what its columns suggest.

    `seen` is the revision of the set-up that it replaces; raises Moved where that is another by now.
    """
    permission.check(user)
    try:
        with transaction.atomic():
            before = SetupDraft.objects.select_for_update().filter(entity_type=entity_type).first()
            if before is not None and before.state == SetupState.RUNNING:
                raise WizardError(_("This set-up is being carried out. Wait until it is done."))
            check_seen(before, seen)
            SetupDraft.objects.filter(entity_type=entity_type).delete()
            draft = SetupDraft.objects.create(
                entity_type=entity_type,
                revision=before.revision + 1 if before is not None else 1,
                board_id=board_id,
                board_name=name[:255],
                columns=columns,
                changed_by=user,
                **_rest_of(entity_type, board_id),
            )
            note(user, entity_type, said)
    except IntegrityError as taken:
        raise WizardError(
            _("Another set-up uses that board already. A board serves one kind of records; choose another.")
        ) from taken
    draft.refresh_from_db()
    SetupDraft.objects.filter(pk=entity_type).update(fields=_first_choices(draft))
    draft.refresh_from_db()
    return draft


def _rest_of(entity_type: str, board_id: str) -> dict[str, Any]:
    """What the board link says already, of what isn't in its mappings."""
    link = link_of(entity_type)
    if link is None or not board_id or link.board_id != board_id:
        return {"creates_records": not board_id, "outcome": {WAS: standing_of(None)}}
    first = link.mappings.values_list("first_match", flat=True).first()
    was = standing_of(link)
    return {
        "creates_records": link.creates_records, "first_match": first or Rule.ASK, "outcome": {WAS: was}
    }  # fmt: skip


def _first_choices(draft: SetupDraft) -> dict[str, dict[str, str]]:
    """What is mapped already stays so; the rest as the columns suggest."""
    fields, link = fields_of(draft.entity_type), link_with(draft)
    kept = {mapping.key: mapping for mapping in link.mappings.all()} if link is not None else {}
    free = {
        one: told for one, told in draft.columns.items() if one not in {m.column_id for m in kept.values()}
    }
    found = suggest([one for one in fields if one.key not in kept], free, npd_id_of(draft))
    chosen = {}
    for one in fields:
        if one.key in kept:
            mapping = kept[one.key]
            chosen[one.key] = Chosen(mapping.column_id, mapping.direction, mapping.rule)
        elif one.key in found:
            chosen[one.key] = Chosen(found[one.key].column)
        else:
            chosen[one.key] = Chosen("", SyncDirection.BIDIRECTIONAL)
    return {key: one.to_json() for key, one in chosen.items()}


def leave_out(user: User, entity_type: str, seen: int) -> None:
    """Forget a set-up that isn't being carried out, as it was seen; raises Moved."""
    permission.check(user)
    with transaction.atomic():
        open_ones = SetupDraft.objects.exclude(state__in=(SetupState.RUNNING, SetupState.DONE))
        draft = open_ones.select_for_update().filter(entity_type=entity_type).first()
        if draft is None:
            return
        check_seen(draft, seen)
        draft.delete()
        if draft.outcome.get("by"):
            note(user, entity_type, _("Set-up left out; what its run had made on the board stays."))
        else:
            note(user, entity_type, _("Set-up left out; nothing was written."))


def choose_fields(
    user: User,
    entity_type: str,
    seen: int,
    chosen: Mapping[str, Chosen],
    columns: Mapping[str, Told] | None = None,
) -> SetupDraft:
    """Store which column each field has, its direction and rule; raises Moved, Unfit.

    `columns` are the board's as they were read just now; without, those that were read last count.
    """
    permission.check(user)
    with transaction.atomic():
        draft = locked(entity_type, seen)
        draft.columns = columns if columns is not None else draft.columns
        fields = fields_of(entity_type)
        wrong = problems(fields, chosen, draft.columns, npd_id_of(draft))
        if wrong:
            raise Unfit(_("Nothing was kept yet: some fields can't be mapped so. See below."), wrong)
        before = chosen_of(draft.fields) if draft.mapped else as_mapped(link_with(draft))
        what = in_words(changes(fields, before, chosen, draft.columns))
        draft.fields = {one.key: chosen.get(one.key, Chosen()).to_json() for one in fields}
        draft.mapped = True
        _keep(draft, user, ["fields", "mapped", "columns"])
        note(
            user, entity_type, _("Set-up: fields mapped: %(what)s. Nothing is written yet.") % {"what": what}
        )
    return draft


def choose_matching(
    user: User, entity_type: str, seen: int, *, threshold: int, first_match: str, creates_records: bool
) -> SetupDraft:
    """Store how records and items find each other, which makes a new comparison necessary."""
    permission.check(user)
    if not LEAST_ALIKE <= threshold <= MOST_ALIKE or first_match not in FIRST_MATCHES:
        raise WizardError(
            _("Choose a likeness between %(least)d and %(most)d per cent, and one of the rules.")
            % {"least": LEAST_ALIKE, "most": MOST_ALIKE}
        )
    with transaction.atomic():
        draft = locked(entity_type, seen)
        draft.threshold, draft.first_match, draft.creates_records = threshold, first_match, creates_records
        _keep(draft, user, ["threshold", "first_match", "creates_records"])
        said = _(
            "Set-up: names are like each other from %(threshold)d %%; where both sides differ at first: %(rule)s; "
            "items become records: %(takes)s. Nothing is written yet."
        )
        takes = _("yes") if creates_records else _("no")
        rule = Rule(first_match).label
        note(user, entity_type, said % {"threshold": threshold, "rule": rule, "takes": takes})
    return draft


def answer(user: User, entity_type: str, seen: int, answers: Mapping[str, str]) -> SetupDraft:
    """Store whose items those with a name like a record's are; of pairs that the comparison didn't find, nothing."""
    permission.check(user)
    with transaction.atomic():
        draft = locked(entity_type, seen)
        offered = {one["record"]: one["item"] for one in draft.found.get("near", ())}
        known = {r: a for r, a in answers.items() if r in offered and a in (offered[r], NEW, OUT)}
        changed = {record: one for record, one in known.items() if draft.answers.get(record) != one}
        if changed:
            draft.answers = {**draft.answers, **changed}
            draft.revision += 1
            draft.changed_by = user
            draft.save(update_fields=["answers", "revision", "changed_by"])
            note(user, entity_type, _("Set-up: said whose items they are; nothing is written yet."))
    return draft


def columns_moved(draft: SetupDraft, columns: Mapping[str, Told]) -> bool:
    """Whether a column that was chosen is gone from these, or of another type."""
    return any(
        column in draft.columns
        and (column not in columns or columns[column]["type"] != draft.columns[column]["type"])
        for column in (one.column for one in chosen_of(draft.fields).values())
    )


def forget_columns_gone(draft: SetupDraft, columns: Mapping[str, Told], name: str) -> bool:
    """Take over what the board shows now; return whether something that was chosen is affected.

    Renamed columns are followed by their id. A change of what a plan rests on makes the plan old.
    """
    moved = columns_moved(draft, columns)
    told: dict[str, Any] = {"columns": columns, "board_name": name[:255]}
    if moved:
        told |= {"state": SetupState.DRAWN, "mapped": False, "found": {}, "found_at": None}
        told["revision"] = F("revision") + 1
    kept = SetupDraft.objects.filter(pk=draft.pk, revision=draft.revision)
    kept.exclude(state__in=(SetupState.RUNNING, SetupState.DONE)).update(**told)
    draft.refresh_from_db()
    return moved


def _keep(draft: SetupDraft, user: User, names: Sequence[str]) -> None:
    """Store a change on which the comparison rests: what was found before counts no more."""
    draft.state, draft.found, draft.found_at = SetupState.DRAWN, {}, None
    draft.token = draft.held_until = None
    draft.problem = draft.progress = ""
    draft.revision += 1
    draft.changed_by = user
    draft.changed_at = SyncNow()
    draft.save(
        update_fields=[
            *names, "state", "found", "found_at", "token", "held_until", "problem", "progress", "revision",
            "changed_by", "changed_at",
        ]
    )  # fmt: skip
    draft.refresh_from_db()


def note(user: User, entity_type: str, sentence: str) -> None:
    """Leave a line in the audit log, under the board's name."""
    spec: EntitySpec = registry.entity(entity_type)
    acts_log.write(user, BoardLink, sentence, name=spec.board_title)
