"""Wrong ways to write to Monday and to find out the result."""

from collections.abc import Sequence
from typing import Any

from sync.choices import CallKind
from sync.models import Intent, IntentState
from sync.reconcile.pass_plan import RecordPlan
from sync.reconcile.unanswered_creates import CreatePlan, Fate, UnansweredDocument
from tests.chaos import drills
from tests.chaos.planted import Wrong, also_at, plant


@plant(
    "intents_ignored_after_a_crash",
    "what was announced before a crash is forgotten",
    drills.drill_killed_after_its_write,
    "sync.reconcile.gather.record_facts:_intents_of",
)
def _forgets_intents(right: Wrong, *args: Any) -> dict[Any, tuple[Intent, ...]]:
    return {
        key: tuple(intent for intent in intents if intent.state != IntentState.OPEN)
        for key, intents in right(*args).items()
    }


@plant(
    "create_retried_without_look_up",
    "a create without an answer is made again without looking for its item",
    drills.drill_create_without_answer,
    "sync.reconcile.unanswered_creates:after_search",
)
def _gives_up_unseen(right: Wrong, document: UnansweredDocument) -> list[CreatePlan]:
    return [CreatePlan(intent, Fate.VOID) for intent in document.intents]


@also_at("create_retried_without_look_up", "sync.reconcile.missing.identity:choose_item")
def _makes_it_anew(right: Wrong, facts: Any, plan: RecordPlan, named: Any, keyed: Any, owners: Any) -> Any:
    tried = Intent.objects.filter(entity_id=plan.id, item_id="").exclude(state=IntentState.REJECTED).exists()
    return right(facts, plan, {} if tried else named, {} if tried else keyed, owners)


@plant(
    "bisect_after_a_timeout",
    "a document whose outcome is unknown is divided and sent again",
    drills.drill_create_without_answer,
    "sync.reconcile.send:Executor._end_failed_call",
)
def _divides_whatever_failed(right: Wrong, executor: Any, writes: Sequence[Any], error: Any) -> Any:
    if not error.outcome_unknown:
        return right(executor, writes, error)
    intents = [write.intent.pk for write in writes]
    Intent.objects.filter(pk__in=intents, state=IntentState.OPEN).update(state=IntentState.VOID)
    half = max(len(writes) // 2, 1)
    for part in filter(None, (writes[:half], writes[half:])):
        executor._send_document(CallKind.CHANGE if part[0].item_id else CallKind.CREATE, part)
    return None
