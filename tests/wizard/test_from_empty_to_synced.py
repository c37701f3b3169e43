"""The whole way: from nothing to records in sync, with boards that are made and boards that are there."""

from django.contrib.admin.models import LogEntry

from npd.models import Contact, Organization
from sync.models import BoardLink
from tests.wizard.conftest import PEOPLE, Wizard, a_board, an_item, later, mail, people, started


def test_new_boards_are_made_and_everything_is_in_sync(wizard: Wizard) -> None:
    people()
    assert "Connection to Monday" in wizard.get()
    assert "Connected" in wizard.post()
    wizard.boards(organization="new", contact="new")
    wizard.fields("organization")
    assert "Both sides are being compared" in wizard.fields("contact", column_organization="+")
    wizard.plan()
    page = wizard.get("plan/")
    assert "The board “Organizations” is created" in page
    assert "API calls" in page
    assert not wizard.mutations()
    assert "The set-up is being applied" in wizard.start()
    assert not wizard.mutations()
    wizard.work()
    assert started()["state"] == "done", started()
    for seconds in (0, 120, 240):  # the relation waits for its organization's item
        later(wizard.monday, seconds)
        wizard.drain()
    assert wizard.monday.item_named("Ann Ångström")["values"]["organization"] == "Nova Labs"
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert set(Organization.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert "The set-up is done" in wizard.get("run/")
    said = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert any("Set-up started: 2 to create, 0 to link" in one for one in said)
    assert said[-1] == "Set-up done."


def test_a_board_that_is_there_is_mapped_and_linked(wizard: Wizard) -> None:
    ann, bob, _ = people()
    items = [{"name": "Ann Ångström", "mail": mail("ann@x.org"), "job": "Head"}, {"name": "Zoe Zimmer"}]
    board = a_board(wizard.monday, "CRM", *PEOPLE, items=items)
    wizard.mark = wizard.last_call()
    page = wizard.boards(contact=board)
    assert "E-mail address (Email)" in page
    wizard.fields("contact")
    wizard.plan()
    counts = wizard.board_plan().counts
    assert (counts["link"], counts["create"], counts["to_npd"], counts["unmatched"]) == (1, 1, 1, 1)
    assert not wizard.mutations()
    wizard.apply()
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.sync_status, bob.sync_status, ann.role_title) == ("synced", "synced", "Head")
    found = {item["name"]: item for item in wizard.monday.items()}
    assert set(found) == {"Ann Ångström", "Bob Stone", "Zoe Zimmer"}
    assert found["Ann Ångström"]["id"] == ann.monday_id
    link = BoardLink.objects.get(entity_type="contact")
    assert (link.board_id, link.creates_records) == (board, False)
    assert link.webhooks
    assert not BoardLink.objects.get(entity_type="organization").board_id


COMPANIES = (*PEOPLE, ("firm", "Company", "text"))


def companies(wizard: Wizard) -> str:
    """A board of nine people of three firms of which NPD knows none; three of them are in NPD."""
    board = a_board(wizard.monday, "Contacts that we had", *COMPANIES)
    for number in range(9):
        address = f"p{number}@example.com"
        wizard.monday.act(
            "add", board_id=board, name=f"P{number}", values={"mail": mail(address), "firm": f"Firm {number % 3}"}
        )
        if number < 3:
            Contact.objects.create(name=f"P{number}", email=address)
    Contact.objects.create(name="New", email="new@example.com")
    return board


def need_attention() -> int:
    return Contact.objects.exclude(sync_status="synced").count()


def test_the_plans_numbers_are_what_happens_also_where_names_are_unknown(wizard: Wizard) -> None:
    plan = wizard.planned(companies(wizard), column_organization="firm", creates_records="on")
    assert (plan.counts["link"], plan.counts["create"], plan.counts["from_items"]) == (3, 1, 6)
    assert plan.attention_count == 9
    page = wizard.get("plan/")
    assert "9 records then need attention" in page
    assert "Create 3 organizations that NPD doesn't have" in page
    wizard.apply()
    later(wizard.monday, 60)
    wizard.drain()
    assert (need_attention(), Contact.objects.count(), len(wizard.monday.items())) == (9, 10, 10)


def test_organizations_that_items_name_are_created_where_a_person_wants_them(wizard: Wizard) -> None:
    Organization.objects.create(name="Firm 1")
    wizard.planned(companies(wizard), column_organization="firm", creates_records="on")
    wizard.apply(**{"related-contact": "on"})
    later(wizard.monday, 60)
    wizard.drain()
    assert (need_attention(), Organization.objects.count()) == (0, 3)
    assert "Created 2 organizations named by items." in started()["done"]


def test_names_that_come_with_the_organizations_board_are_none_that_are_unknown(wizard: Wizard) -> None:
    firms = a_board(wizard.monday, "Firms", items=[{"name": f"Firm {number}"} for number in range(3)])
    wizard.boards(contact=companies(wizard), organization=firms)
    assert wizard.choices["contact"].fields["organization"].column == "firm"
    wizard.fields("organization", creates_records="on")
    wizard.fields("contact", creates_records="on")
    wizard.plan()
    assert wizard.board_plan().attention_count == 0


def test_the_plan_says_what_is_held_where_nobody_can_be_recognized_and_starts_so(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    board = a_board(wizard.monday, "CRM", ("work", "Work", "email"), ("home", "Home", "email"))
    an_item(wizard.monday, board, "Ann", work=mail("ann@x.org"))
    plan = wizard.planned(board, creates_records="on")
    page = wizard.get("plan/")
    assert "choose “Work”, which has values, instead" in page
    assert "“Email” is new beside “Work”, “Home”, of the same type." in page
    assert (plan.counts["held"], plan.counts["items_held"], plan.counts["create"]) == (1, 1, 0)
    wizard.apply()
    assert (len(wizard.monday.items()), Contact.objects.count()) == (1, 1)
    assert wizard.change(column_email="work").counts["link"] == 1
    wizard.apply()
    assert Contact.objects.get().sync_status == "synced"


def test_new_ones_are_created_all_the_same_where_a_person_says_so(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    board = a_board(wizard.monday, "CRM", *PEOPLE, items=[{"name": "Ann"}])
    wizard.planned(board)
    wizard.post("plan/", create_all="contact")
    wizard.plan()
    assert wizard.board_plan().counts["create"] == 1
    assert "1 record gets a new item though an item without a value to match by has its name" in wizard.get("plan/")
    wizard.apply()
    assert len(wizard.monday.items()) == 2
    assert not BoardLink.objects.get(entity_type="contact").creates_held
