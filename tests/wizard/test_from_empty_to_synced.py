"""From nothing to synced records, with new boards and existing ones."""

from django.contrib.admin.models import LogEntry

from npd.models import Contact, Organization
from sync.models import BoardLink
from tests.wizard.conftest import Wizard, later, people, started


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
    assert any("Set-up started: new items on Monday: 2" in line for line in lines)
    assert lines[-1] == "Set-up done."
    link = BoardLink.objects.get(entity_type="contact")
    assert link.webhooks
    # A finished set-up keeps no personal data.
    assert "choices" not in link.setup
    assert "Stone" not in str(link.setup)
    assert "NPD has none there yet" not in wizard.get("run/")
    Contact.objects.all().delete()
    assert "Add or import records in Contacts : NPD has none there yet." in wizard.get("run/")
