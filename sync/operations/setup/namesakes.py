"""Records and items of one name that nothing else shows to be the same: a person says what they are, in the plan."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from conflicts.reports import NAMESAKE, SAME_NAME
from sync.fields.field_values import match_key_of_item, match_key_of_record, record_name
from sync.kernel.acts import CREATE_RECORD
from sync.monday.board_items import Item
from sync.monday.text_forms import match_key
from sync.operations import dry_run
from sync.operations.setup import selection
from sync.reconcile import pass_plan
from sync.reconcile.gather.item_facts import MAX_NAMESAKES
from sync.reconcile.missing.identity import CREATES_HELD
from sync.words.message import code_of


@dataclass(frozen=True)
class Namesake:
    """A record and an item with one name that nothing else shows to be the same, and what a person chose for them."""

    record_id: str
    item_id: str
    name: str
    record_key: str
    item_key: str
    linked: str = ""  # "record" or "item" if that one is linked already, and the other would be made anew
    choice: str = selection.LEAVE

    @property
    def pair(self) -> str:
        return selection.pair_of(self.record_id, self.item_id)

    @property
    def is_made(self) -> bool:
        """Whether the one that isn't linked is made anew unless a person leaves it; an item may be asked about."""
        return bool(self.linked) and (self.linked == "item" or bool(self.record_key and self.item_key))


def find_namesakes(
    listing: dry_run.Listing,
    planned_passes: Sequence[dry_run.PlannedPass],
    chosen: Mapping[str, str],
    *,
    is_other_board: bool,
) -> list[Namesake]:
    """Return the pairs of a record and an item of its name that aren't linked, and of which one would be made anew.

    On another board also those of which the record is asked about, or gets no item for now. `chosen` is what a person
    chose for each pair, or for all.
    """
    board = listing.board
    record_plans = dry_run.record_plans(planned_passes)
    linked = {record_plan.item_id for record_plan in record_plans.values() if record_plan.item_id}
    free = set()
    made = set()
    for item_plan in dry_run.item_plans(planned_passes):
        is_left = not (item_plan.act or item_plan.record_ids or item_plan.is_left_out)
        if item_plan.facts.ignored is None and (item_plan.act == CREATE_RECORD or is_left):
            free.add(item_plan.facts.item_id)
        if item_plan.act == CREATE_RECORD or _asks(item_plan) == NAMESAKE:
            made.add(item_plan.facts.item_id)
    namesakes = []
    for record_plan in record_plans.values():
        name = match_key(record_name(record_plan.record))
        is_made = record_plan.is_open and record_plan.creates
        is_asking = _asks(record_plan) == SAME_NAME or code_of(record_plan.reason) == CREATES_HELD
        if not name or not (is_made or is_asking or record_plan.item_id):
            continue
        asked = dry_run.candidates_of(record_plan)
        pairs = list[tuple[Item, str]]()
        for item in listing.by_name.get(name, ()):
            if record_plan.item_id:
                pairs += [(item, "record")] if item.id in made else []
            elif not (is_other_board or is_made or item.id in made):
                continue  # On a board that is set up already, its pass asks by itself.
            elif item.id in free | asked:
                pairs.append((item, ""))
            elif is_made and item.id in linked:
                pairs.append((item, "item"))
        for item, which in pairs[:MAX_NAMESAKES]:
            record_key = match_key_of_record(board, record_plan.record)
            item_key = match_key_of_item(board, item) or ""
            name = str(record_plan.record)
            namesakes.append(Namesake(str(record_plan.id), item.id, name, record_key, item_key, which))
    return _with_choices(namesakes, chosen)


def _asks(plan: pass_plan.RecordPlan | pass_plan.ItemPlan) -> str:
    """Return what the plan's question asks, such as SAME_NAME."""
    return plan.question.data.get("asks", "") if plan.question is not None else ""


def _with_choices(namesakes: Sequence[Namesake], chosen: Mapping[str, str]) -> list[Namesake]:
    """Return these pairs with what a person chose for each, or for all."""
    open_pairs = [namesake for namesake in namesakes if not namesake.linked]
    times_record = Counter(namesake.record_id for namesake in open_pairs)
    times_item = Counter(namesake.item_id for namesake in open_pairs)
    decided = []
    for namesake in namesakes:
        choice = chosen.get(namesake.pair)
        if choice is None:
            choice = chosen.get(selection.ALL, selection.APART if namesake.is_made else selection.LEAVE)
            is_one_of_several = times_record[namesake.record_id] > 1 or times_item[namesake.item_id] > 1
            # Who is who among several is no choice for all of them.
            choice = selection.LEAVE if choice == selection.LINK and is_one_of_several else choice
        if choice == selection.LINK and namesake.linked:
            choice = selection.LEAVE
        decided.append(replace(namesake, choice=choice))
    return decided
