"""The whole way: from nothing to records in sync, with boards that are made and boards that are there."""

from django.contrib.admin.models import LogEntry

from npd.models import Contact, Organization
from sync.models import BoardLink
from tests.support.world import mail
from tests.wizard.conftest import PEOPLE, Wizard, a_board, later, people, started


def test_new_boards_are_made_and_everything_is_in_sync(wizard: Wizard) -> None:
    people()
    assert "Connection to Monday" in wizard.get()
    assert "Connected" in wizard.post()
    wizard.boards(organization="new", contact="new")
    wizard.fields("organization")
    assert "Both sides are being compared" in wizard.fields("contact")
    wizard.plan()
    page = wizard.get("plan/")
    assert "The board “Organizations” is created" in page
    assert "API calls" in page
    assert not wizard.mutations()
    assert "The set-up is running" in wizard.start()
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
    lines = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert any("Set-up started: items to create on Monday: 2" in line for line in lines)
    assert lines[-1] == "Set-up done."
    assert "NPD has none there yet" not in wizard.get("run/")
    Contact.objects.all().delete()
    assert "Add or import records in Contacts : NPD has none there yet." in wizard.get("run/")


def test_a_board_that_is_there_is_mapped_and_linked(wizard: Wizard) -> None:
    ann, bob, _ = people()
    items = [{"name": "Ann Ångström", "mail": mail("ann@x.org"), "job": "Head"}, {"name": "Zoe Zimmer"}]
    board = a_board(wizard.monday, "CRM", *PEOPLE, items=items)
    wizard.mark = wizard.last_call()
    page = wizard.boards(contact=board)
    assert "E-mail address (Email)" in page
    wizard.fields("contact")
    wizard.plan()
    assert wizard.plan_shown() == {"link": 1, "create": 1, "pull": 1, "left as it is": 1}
    assert not wizard.mutations()
    wizard.apply()
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.sync_status, bob.sync_status, ann.role_title) == ("synced", "synced", "Head")
    items_by_name = {item["name"]: item for item in wizard.monday.items()}
    assert set(items_by_name) == {"Ann Ångström", "Bob Stone", "Zoe Zimmer"}
    assert items_by_name["Ann Ångström"]["id"] == ann.monday_id
    link = BoardLink.objects.get(entity_type="contact")
    assert (link.board_id, link.creates_records) == (board, False)
    assert link.webhooks
    # Nothing of people stays in what is done.
    assert "choices" not in link.setup
    assert "Stone" not in str(link.setup)
    assert not BoardLink.objects.get(entity_type="organization").board_id
