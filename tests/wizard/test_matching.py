"""The fourth step: what belongs together. A name alone links nothing."""

from __future__ import annotations

from npd.models import Contact, Organization
from sync.kernel.messages import UnmatchedReason
from sync.models import Decision, IgnoredItem, SetupDraft, UnmatchedItem
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from sync.operations.setup.fields import parse_choices
from sync.operations.setup.matches import match_names
from tests.wizard.conftest import PEOPLE, START, Wizard, a_board, an_item, compared_with, draft, later, mail
from tests.wizard.test_changes import change


def test_names_that_are_nearly_alike_are_pairs_and_near_rivals_make_them_ambiguous() -> None:
    records = {"r1": "Anna Lindqvist", "r2": "John Smith", "r3": "Zoe Zimmer", "r4": "Acme Corp."}
    items = {"i1": "Lindqvist, Anna", "i2": "Jon Smith", "i3": "John Smyth", "i4": "Someone else", "i5": "ACME Corp"}
    found = match_names(records, items, 85)
    assert [(one.record, one.items[0][0]) for one in found.pairs] == [("r1", "i1"), ("r4", "i5")]
    assert [one.record for one in found.ambiguous] == ["r2"]


def test_two_records_that_want_one_item_are_both_ambiguous() -> None:
    found = match_names({"r1": "Ann Berg", "r2": "Anne Berg"}, {"i1": "Ann Berg"}, 80)
    assert not found.pairs
    assert {one.record for one in found.ambiguous} == {"r1", "r2"}


def test_many_names_are_compared_by_how_their_words_begin() -> None:
    records = {f"r{n}": f"Person{n} Nr{n}" for n in range(2_100)} | {"x": "Wilhelmina Quist"}
    items = {f"i{n}": f"Other{n} Zz{n}" for n in range(2_100)} | {"y": "Wilhelmine Quist"}
    found = match_names(records, items, 88)
    assert [(one.record, one.items[0][0]) for one in found.pairs] == [("x", "y")]


def test_found_by_npd_id_by_mail_and_not_by_name(wizard: Wizard) -> None:
    by_id = Contact.objects.create(name="Moved Away", email="old@x.org")
    Contact.objects.create(name="Ann Berg", email="ann@x.org")
    named = Contact.objects.create(name="Jon Stone")
    board = a_board(wizard.monday, "CRM", *PEOPLE, ("npd_id", "NPD ID", "text"))
    an_item(wizard.monday, board, "Somebody", npd_id=str(by_id.pk), mail=mail("new@x.org"))
    an_item(wizard.monday, board, "A. Berg", mail=mail("ann@x.org"))
    an_item(wizard.monday, board, "John Stone")
    wizard.compared(board)
    found = draft().found
    assert found["counts"]["link"] == 2
    assert [one["record"] for one in found["near"]] == [str(named.pk)]
    page = wizard.get("match/")
    assert "2 records are linked with their items" in page
    assert "1 record has nearly the same name as an item." in page
    assert "Jon Stone and the item John Stone" in page
    assert not wizard.mutations()


def test_a_pair_that_is_confirmed_is_linked_and_one_that_is_not_stays_out(wizard: Wizard) -> None:
    same, other, unsure = (Contact.objects.create(name=name) for name in ("Jon Stone", "Ann Bergh", "Carl Roth"))
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    stone = an_item(wizard.monday, board, "John Stone", job="Head")
    an_item(wizard.monday, board, "Ann Berg")
    roth = an_item(wizard.monday, board, "Karl Roth")
    wizard.compared(board)
    wizard.answer("contact", **{str(same.pk): stone, str(other.pk): "new"})
    assert "1 is not answered; its sync stays off" in wizard.get("match/")
    shown = wizard.plan_shown()
    assert (shown["out"], shown["link"]) == (1, 1)
    wizard.apply()
    for one in (same, other, unsure):
        one.refresh_from_db()
    # Their spellings differ, and neither side is right by itself: that is asked, on the record that was linked.
    assert (same.monday_id, same.sync_status, same.role_title) == (stone, "conflict", "Head")
    assert (other.sync_status, unsure.sync_status, unsure.monday_id) == ("synced", "disabled", None)
    names = sorted(item["name"] for item in wizard.monday.items())
    assert names == ["Ann Berg", "Ann Bergh", "John Stone", "Karl Roth"]
    assert IgnoredItem.objects.get(entity_id=unsure.pk).item_id == roth
    assert Decision.objects.filter(entity_id=unsure.pk, sentence__contains="Link again").exists()
    assert "1 with sync off" in wizard.get("run/")


def test_another_likeness_and_rule_compare_again(wizard: Wizard) -> None:
    Contact.objects.create(name="Jon Stone", email="jon@x.org", role_title="Head")
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "Johnny Stone", mail=mail("jon@x.org"), job="Boss")
    wizard.compared(board)
    assert draft().found["counts"]["conflicts"] == 1
    assert "being compared" in wizard.match("contact", first_match="npd_wins", threshold="95")
    wizard.work()
    counts = draft().found["counts"]
    assert (counts.get("conflicts", 0), counts["to_monday"]) == (0, 1)
    assert draft().found["fields"] == {"by key": 1, "to_monday Name": 1, "to_monday Role": 1}
    assert "Choose a similarity between 60 and 100 per cent" in wizard.match("contact", first_match="union")


def test_an_older_page_takes_no_rule_of_matching_back_unsaid(away: Wizard) -> None:
    """Two tabs of one person: each sends likeness, rule and what becomes of items."""
    away.compared("new")
    older = {"version": draft().version, "threshold": "90", "first_match": "ask"}
    assert "being compared" in away.match("contact", **older | {"first_match": "npd_wins"})
    assert "was changed after this page was shown" in away.match("contact", **older)
    assert draft().first_match == "npd_wins"
    away.match("contact", **older | {"version": draft().version})
    assert draft().first_match == "ask"


def test_an_older_page_takes_no_answer_back_and_says_so(away: Wizard) -> None:
    """Two tabs of one person: each sends an answer about every pair that it shows."""
    jon, ann = (Contact.objects.create(name=name) for name in ("Jon Stone", "Ann Bergh"))
    stone, berg = compared_with(away, (jon, "John Stone"), (ann, "Ann Berg"))
    older = {"contact-version": draft().version, f"answer-{jon.pk}": "out", f"answer-{ann.pk}": "out"}
    first = {str(jon.pk): stone, str(ann.pk): "new"}
    away.post("match/", **older | {"go": "plan"} | {f"answer-{record}": one for record, one in first.items()})
    assert draft().answers == first
    for more in ({"go": "plan", f"answer-{ann.pk}": berg}, {"go": "answers"}):
        assert "The set-up was changed after this page was shown" in away.post("match/", **older | more)
        assert draft().answers == first
    newer = older | {"contact-version": draft().version, f"answer-{ann.pk}": berg}
    away.post("match/", **newer | {"go": "answers"})
    assert draft().answers == {str(jon.pk): "out", str(ann.pk): berg}


def test_an_answer_about_a_pair_that_is_no_longer_found_is_not_said_to_be_saved(away: Wizard) -> None:
    record = Contact.objects.create(name="Jon Stone")
    jon, [item] = str(record.pk), compared_with(away, (record, "John Stone"))
    shown = draft().version
    drafts.choose_fields(away.person, "contact", parse_choices(draft().fields))  # in another tab
    page = away.post("match/", **{"go": "answers", "contact-version": shown, f"answer-{jon}": item})
    assert (draft().answers, "Your answers are saved" in page) == ({}, False)


def test_an_answer_about_one_kind_is_saved_beside_the_set_up_of_another(away: Wizard) -> None:
    record = Contact.objects.create(name="Jon Stone")
    jon, [item] = str(record.pk), compared_with(away, (record, "John Stone"))
    drafts.choose_boards(away.person, {"organization": drafts.NEW_BOARD, "contact": drafts.NEW_BOARD})
    away.choose("organization")
    page = away.post("match/", **{"go": "answers", "contact-version": draft().version, f"answer-{jon}": item})
    assert (draft().answers, "Your answers are saved" in page) == ({jon: item}, True)


def test_where_items_become_no_records_the_set_up_notes_them(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "Firms", items=[{"name": "Nova Labs"}, {"name": "Orion"}])
    Organization.objects.create(name="Orion")
    wizard.compared(board, "organization")
    wizard.match("organization")
    wizard.apply()
    noted = UnmatchedItem.objects.values_list("entity_type", "name", "reason_code")
    assert list(noted) == [("organization", "Nova Labs", UnmatchedReason.CREATION_OFF)]


def test_an_item_that_nothing_matches_by_is_planned_as_what_the_run_makes_of_it(wizard: Wizard) -> None:
    items = [{"name": "Eve", "mail": mail("eve@x.org")}, {"name": "Nameless"}]
    wizard.begin(a_board(wizard.monday, "CRM", *PEOPLE, items=items), creates=True)
    wizard.work()
    counts = plan.plan_totals(draft())
    assert (counts["from_items"], counts["no_key"]) == (1, 1)
    assert "it becomes a record later Nameless" in wizard.get("plan/")
    wizard.apply()
    later(wizard.monday, 20)  # nobody edits the items any more
    wizard.drain()
    assert list(Contact.objects.values_list("name", flat=True)) == ["Eve"]
    assert [(one.name, one.reason_code) for one in UnmatchedItem.objects.all()] == [("Nameless", "no_key_yet")]
    later(wizard.monday, 400)
    wizard.drain()
    assert set(Contact.objects.values_list("name", flat=True)) == {"Eve", "Nameless"}


def test_of_many_like_names_a_page_shows_the_first_and_all_of_them_where_it_is_asked(away: Wizard) -> None:
    compared_with(away, *((Contact.objects.create(name=f"Ann {n}"), f"Anne {n}") for n in range(25)))
    shown = {end: away.client.get(START + end).content.decode() for end in ("match/", "match/?pairs=all")}
    assert [html.count("<legend") for html in shown.values()] == [20, 25]
    assert ['href="?pairs=all"' in html for html in shown.values()] == [True, False]


def test_one_button_answers_for_all_pairs_that_are_shown(away: Wizard) -> None:
    people = [Contact.objects.create(name=f"Ann {n}") for n in range(25)]
    items = compared_with(away, *((one, f"Anne {n}") for n, one in enumerate(people)))
    shown = {f"item-{one.pk}": item for one, item in zip(people[:20], items, strict=False)}
    for button, answers in (("different", ["new"] * 20), ("same", items[:20])):
        away.post("match/", **{button: "contact"}, **shown)
        assert [draft().answers[str(one.pk)] for one in people[:20]] == answers
    assert len(draft().answers) == 20


def test_next_and_back_store_what_the_page_holds(away: Wizard) -> None:
    """Also what asks for no new comparison; only a pair's "Not now", which stands there from the beginning, is none."""
    jon, ann = Contact.objects.create(name="Jon Stone"), Contact.objects.create(name="Ann Bergh")
    stone, berg = compared_with(away, (jon, "John Stone"), (ann, "Ann Berg"))
    SetupDraft.objects.update(found=draft().found | {"free": [stone, berg, "eve"]}, creates_records=False)
    form = {"contact-threshold": "88", "contact-first_match": "ask", "contact-creates_records": "on"}
    away.post("match/", go="plan", **form, **{f"answer-{jon.pk}": stone, f"answer-{ann.pk}": "out"})
    assert (draft().creates_records, draft().answers, draft().state) == (True, {str(jon.pk): stone}, "compared")
    shown = away.plan_shown()
    assert (shown["from_items"], shown["link"], shown["out"]) == (1, 1, 1)
    away.match("contact", "back", first_match="npd_wins")
    assert (draft().creates_records, draft().first_match, draft().state) == (False, "npd_wins", "draft")
    away.match("contact", "plan", threshold="7")
    assert (draft().threshold, draft().first_match) == (88, "npd_wins")


def test_the_plan_names_what_it_leaves_as_it_is(wizard: Wizard) -> None:
    same = Contact.objects.create(name="Ann", email="ann@x.org")
    board = a_board(wizard.monday, "CRM", *PEOPLE, ("rank", "Rank", "numbers"))
    an_item(wizard.monday, board, "Ann", mail=mail("ann@x.org"))
    wizard.compared(board, column_notes="", direction_phone="npd_to_monday")
    wizard.apply()
    change(wizard)
    assert wizard.plan_shown() == {}
    unsynced = ["Notes", "Organization"]
    assert wizard.plan_leaves() == {"unsynced": unsynced, "columns": ["Rank"], "to_monday": ["Phone"]}
    assert not wizard.calls_sides_the_same()

    an_item(wizard.monday, board, "Stranger", mail=mail("stranger@x.org"))
    Contact.objects.create(name="Off", email="off@x.org", sync_enabled=False)
    Contact.objects.create(name="Silent", email="silent@x.org", sync_direction="monday_to_npd")
    Contact.objects.filter(pk=same.pk).update(sync_direction="monday_to_npd", phone="+12025550123")
    wizard.post("match/", go="compare")
    wizard.work()
    assert wizard.plan_shown() == {"unmatched": 1, "different": 1, "sync_off": 1, "no_item": 1}


def test_what_monday_will_not_take_or_probably_reject_is_in_the_plan_as_the_import_says_it(wizard: Wizard) -> None:
    """Of records that get an item and of linked ones, and nothing that stays in NPD or stands on Monday already."""
    Contact.objects.create(name="Ann", email="ann@x.org", phone="12")
    Contact.objects.create(name="Bob", email="b/ob@x.org", phone="12")
    Contact.objects.create(name="Eve", email="eve@x.org", phone="+12025550123")
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "Ann", mail=mail("ann@x.org"))
    wizard.compared(board)
    shown = wizard.plan_shown()
    assert (shown["blocked"], shown["doubtful"]) == (2, 1)
    samples = draft().found["samples"]
    assert [name for name, _why in samples["blocked"] + samples["doubtful"]] == ["Ann: Phone", "Bob: Phone", "Bob"]
    wizard.begin(board, direction_phone="monday_to_npd")
    wizard.work()
    assert "blocked" not in wizard.plan_shown()


def test_sides_are_called_the_same_where_nothing_differs_and_nothing_is_left(away: Wizard) -> None:
    drafts.choose_boards(away.person, {"organization": drafts.NEW_BOARD})
    away.choose("organization", **{f"column_{key}": "+" for key in draft("organization").fields if key != "name"})
    away.work()
    assert away.calls_sides_the_same()
    Organization.objects.create(name="Off", sync_enabled=False)
    away.post("match/", go="compare")
    away.work()
    assert not away.calls_sides_the_same()
