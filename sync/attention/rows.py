"""Which rows of `sync_attention` wait, for whom, how many, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models.functions import RowNumber

from sync import permissions, registry
from sync.attention.cause_table import CAUSES, KINDS, Severity
from sync.clock import SyncNow
from sync.kernel.acts import Act
from sync.models import Attention
from sync.models.attention import AttentionKind as Kind

# The place of a row's kind, the gravest first.
KIND_PLACE = models.Case(
    *(models.When(kind=kind.value, then=models.Value(place)) for place, kind in enumerate(Kind)),
    output_field=models.IntegerField(),
)

# The gravest kind first, then the oldest. The source makes the order of entries of one moment certain.
IN_ORDER = (KIND_PLACE, "since", "source")

SEVERITY = models.Case(
    *(
        models.When(kind=kind.value, code=code, then=models.Value(int(cause.severity)))
        for (kind, code), cause in CAUSES.items()
        if cause.severity is not None
    ),
    *(models.When(kind=kind.value, then=models.Value(int(facts.severity))) for kind, facts in KINDS.items()),
    output_field=models.IntegerField(),
)

# The order of the groups on Home, and of the conflicts that “next” goes through.
ORDER_OF_GROUPS = ("severity", "-size", "kind_place", "oldest", "cause")


@dataclass(frozen=True)
class ShownKinds:
    """The kinds that a person is shown."""

    kinds: frozenset[Kind]
    reads_only: bool = False  # this person may act on none of them
    others: frozenset[Kind] = frozenset()  # kinds that they may see, and only others may act on


EVERYTHING = ShownKinds(frozenset(Kind))


def kinds_shown_to(user: Any, among: Collection[Kind] = tuple(Kind)) -> ShownKinds:
    """Return the kinds that this person may act on, or all that they may see if they may act on none.

    Reads only the person's permissions.
    """
    visible = frozenset(kind for kind in among if permissions.may_view(user, KINDS[kind].model))
    types = [spec.entity_type for spec in registry.entities()]
    to_act_on = frozenset(kind for kind in visible if any(may_act_on(user, kind, entity_type) for entity_type in types))
    kinds = to_act_on or visible
    return ShownKinds(kinds, reads_only=not to_act_on, others=visible - kinds)


def may_act_on(user: Any, kind: Kind, entity_type: str) -> bool:
    """Whether this person may act on entries of a kind about records of this type."""
    facts = KINDS[kind]
    if user.has_perm(facts.permission):
        return True
    return any(permissions.may_act(user, right, entity_type) for right in facts.record_rights)


def may_do(user: Any, act: Act, kind: Kind, entity_type: str) -> bool:
    """Whether this person may do an act on entries of a kind about records of this type."""
    has_rights = may_act_on(user, kind, entity_type) and user.has_perms(act.rights)
    return bool(has_rights and (not act.record_right or permissions.may_act(user, act.record_right, entity_type)))


def waiting(shown: ShownKinds = EVERYTHING, kinds: Iterable[Kind] | None = None) -> models.QuerySet[Attention]:
    """Return the rows of these kinds that are shown, without those whose time is over."""
    wanted = shown.kinds if kinds is None else shown.kinds & set(kinds)
    rows = Attention.objects.filter(models.Q(until=None) | models.Q(until__gt=SyncNow()))
    if wanted == EVERYTHING.kinds:
        return rows
    return rows.filter(kind__in=[kind.value for kind in wanted])


def without_notices(rows: models.QuerySet[Attention]) -> models.QuerySet[Attention]:
    """Leave out what follows from somebody's choice, so that nobody has to act."""
    return rows.alias(severity=SEVERITY).exclude(severity=Severity.NOTICE)


def seen_by(user: Any) -> models.QuerySet[Attention]:
    """Return the rows that a person may see, also those on which only others may act."""
    shown = kinds_shown_to(user)
    return waiting(ShownKinds(shown.kinds | shown.others))


def with_keys(rows: models.QuerySet[Attention], keys: Collection[str]) -> models.QuerySet[Attention]:
    """Return the rows with these keys, which may come from a form."""
    sources: dict[str, list[str]] = {}
    for key in keys:
        kind, _, source = key.partition(":")
        sources.setdefault(kind, []).append(source)
    condition = models.Q(pk__in=[])
    for kind, own_sources in sources.items():
        condition |= models.Q(kind=kind, source__in=own_sources)
    return rows.filter(condition)


def oldest_of_each_cause(rows: models.QuerySet[Attention], number: int) -> models.QuerySet[Attention]:
    """Return the oldest rows of each cause, at most this many of each kind in it."""
    place = models.Window(RowNumber(), partition_by=["cause", "kind"], order_by=["since", "source"])
    return rows.annotate(place=place).filter(place__lte=number)


def in_order_of_groups(rows: models.QuerySet[Attention]) -> models.QuerySet[Attention]:
    """Order these rows as `groups` does, and within a group the oldest first."""
    cause = models.F("cause")
    return rows.annotate(
        severity=SEVERITY,
        size=models.Window(models.Count("pk"), partition_by=cause),
        kind_place=KIND_PLACE,
        oldest=models.Window(models.Min("since"), partition_by=cause),
    ).order_by(*ORDER_OF_GROUPS, "since", "source")


def counts(shown: ShownKinds = EVERYTHING) -> dict[Kind, int]:
    """Return the number of entries of each kind, zeros for kinds that are not shown; one query."""
    counted = dict(without_notices(waiting(shown)).order_by().values_list("kind").annotate(models.Count("pk")))
    return {kind: counted.get(kind.value, 0) for kind in Kind}


def group_counts(shown: ShownKinds) -> dict[Kind, int]:
    """Return the number of groups of each kind, as `counts` does; a group of several kinds counts as the gravest."""
    causes = without_notices(waiting(shown)).order_by().values("cause")
    places = Counter(causes.annotate(place=models.Min(KIND_PLACE)).values_list("place", flat=True))
    return {kind: places[place] for place, kind in enumerate(Kind)}
