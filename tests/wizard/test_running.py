"""A plan is started once, carried out though workers die, and stops with a reason where it can't go on."""

from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync import attention
from sync.models import ActivityLine, BoardLink, FieldMapping, SyncQueue
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.operations import worker
from sync.operations.setup.board_setup import set_up_all
from sync.operations.setup.plan import make_plan
from sync.operations.setup.selection import REQUIRED_PERMISSIONS, plan_key
from sync.outbox.claim import acquire
from tests.support.people import signed_in, staff_who_may
from tests.support.world import mail
from tests.wizard.conftest import ENDS, PEOPLE, START, Wizard, a_board, an_item, later, people, started


def planned(wizard: Wizard) -> str:
    people()
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    wizard.planned(board)
    return board


def test_of_two_administrators_one_starts(wizard: Wizard) -> None:
    wizard.planned("new")
    second_wizard = Wizard(wizard.monday, Client(), User.objects.create_superuser("otto", "o@x.org", "x"))
    second_wizard.client.force_login(second_wizard.person)
    second_wizard.planned("new")
    assert "The set-up is running" in wizard.start()
    assert "somebody has started another set-up" in second_wizard.start()
    assert started()["by"] == "dora"
    assert "The set-up is running" in wizard.get("run/")


def test_a_plan_that_was_never_seen_or_is_old_is_not_started(wizard: Wizard) -> None:
    wizard.planned("new")
    key = plan_key(wizard.choices)
    wizard.fields("contact", rule_phone="npd_wins")
    assert "the plan has changed since you opened this page" in wizard.post("plan/", plan=key)
    wizard.plan()
    later(wizard.monday, 3_600)
    assert "too old" in wizard.start()
    assert not BoardLink.objects.exclude(setup=None).exists()
    wizard.plan()
    assert "The set-up is running" in wizard.start()


def settings_lines() -> list[tuple[str, str]]:
    rows = ActivityLine.objects.filter(kind="settings", entity_type="contact").order_by("id")
    return [(row.actor, str(row.sentence)) for row in rows]


def test_what_a_set_up_changes_of_a_board_is_in_the_activity_by_its_person(wizard: Wizard) -> None:
    planned(wizard)
    assert settings_lines() == []
    wizard.apply()
    [(actor, first)] = settings_lines()
    board = BoardLink.objects.get(entity_type="contact").board_id
    assert (actor, first.partition("; ")[0]) == ("dora", f"The board “Contacts”: Board: empty → “CRM ({board})”")
    assert "; Role: “Role”" in first
    wizard.change(rule_phone="npd_wins", direction_role_title="npd_to_monday", records=[("email", "is_filled", "")])
    wizard.apply()
    assert settings_lines()[1][1] == (
        "The board “Contacts”: What is synced: “everything” → “Records where Email is filled”; "
        "Phone: Ask → NPD wins; Role: Both ways → NPD to Monday only."
    )
    wizard.planned("new")
    wizard.apply()
    assert settings_lines()[2][1].startswith(f"The board “Contacts”: Board: “CRM ({board})” → “Contacts (")


def test_settings_changed_elsewhere_are_said_before_a_plan_overwrites_them(wizard: Wizard) -> None:
    planned(wizard)
    wizard.apply()
    wizard.change(rule_phone="npd_wins")
    FieldMapping.objects.filter(key="role_title").update(rule="monday_wins")
    BoardLink.objects.update(creates_records=True)
    page = wizard.start()
    assert "Contacts: somebody has changed the board" in page
    assert FieldMapping.objects.get(key="role_title").rule == "monday_wins"
    wizard.post("plan/", anew="1")
    wizard.plan()
    page = wizard.get("plan/")
    assert "Phone: Ask → NPD wins" in page
    assert "Role: Monday wins → Ask" in page
    wizard.apply()
    assert FieldMapping.objects.get(key="role_title").rule == "ask"


def test_right_after_a_set_up_that_creates_records_nothing_says_that_items_stay_items(wizard: Wizard) -> None:
    board = planned(wizard)
    an_item(wizard.monday, board, "Cid", mail="cid@x.org")
    wizard.planned(board, creates_records="off")
    wizard.apply()
    assert [entry.code for entry in attention.entries()] == ["creation_off"]
    wizard.change(creates_records="on")
    wizard.start()
    wizard.work()
    assert attention.entries() == []
    wizard.drain()
    assert Contact.objects.filter(name="Cid").exists()


def test_a_started_set_up_gets_the_board_before_the_jobs_that_wait(wizard: Wizard) -> None:
    planned(wizard)
    wizard.apply()
    worker.work()
    Contact.objects.update(role_title="Chair")
    wizard.change(rule_phone="npd_wins")
    wizard.start()
    assert worker.work().checked == 0
    wizard.work()
    assert started()["state"] == "done"
    assert worker.work().checked


def test_a_column_deleted_after_the_plan_stops_the_run_before_it_writes(wizard: Wizard) -> None:
    board = planned(wizard)
    wizard.start()
    wizard.monday.delete_column(board, "job")
    wizard.mark = wizard.last_call()
    wizard.work()
    assert "Role can't have its column: The column job is not on the board any more." in started()["problems"][0]
    assert not wizard.mutations()
    assert not BoardLink.objects.filter(board_id=board).exists()
    page = wizard.get("run/")
    assert "Stopped" in page
    assert "Choose again" in page


def test_no_secret_that_monday_quotes_is_stored_when_a_run_stops(wizard: Wizard) -> None:
    planned(wizard)
    wizard.start()
    refusal = {"every": 1, "code": "UserUnauthorizedException", "message": "No api_key=a1b2c3d4 here"}
    wizard.monday.faults({"partial": refusal, "on": "create_column"})
    wizard.work()
    [problem] = started()["problems"]
    assert "[secret] here" in problem


def test_a_plan_that_can_not_be_read_says_so_and_is_made_again(wizard: Wizard) -> None:
    people()
    wizard.boards(contact=a_board(wizard.monday, "CRM", *PEOPLE))
    wizard.fields()
    wizard.monday.faults({"status": 503, "on": "any", "count": 50})
    make_plan(plan_key(wizard.choices))
    assert "The plan could not be made" in wizard.get("plan/")
    wizard.monday.control("faults", "DELETE")
    later(wizard.monday, 400)
    wizard.post("plan/", anew="1")
    wizard.plan()
    assert len(wizard.board_plan().ids("create")) == 2


def test_monday_away_while_running_is_waited_out_and_nothing_is_made_twice(wizard: Wizard) -> None:
    people()
    wizard.planned("new")
    wizard.start()
    wizard.monday.faults({"status": 503, "on": "create_column", "count": 50})
    wizard.work()
    assert started()["state"] == "running"
    assert "The set-up continues by itself." in wizard.get("run/")
    wizard.monday.control("faults", "DELETE")
    mark = wizard.last_call()
    wizard.work()
    assert wizard.last_call() == mark, "it was asked again before its time"
    later(wizard.monday, 400)
    wizard.work()
    wizard.drain()
    assert started()["state"] == "done", started()
    assert len(wizard.monday.boards()) == 1


def test_a_worker_that_died_is_followed_by_another(wizard: Wizard) -> None:
    people()
    wizard.planned("new")
    wizard.start()
    for step in ("board_setup.board_columns.inspect_board", "board_setup.register_webhooks", "enqueue_items"):
        wizard.dies_at(step)
        assert started()["state"] == "running"
    wizard.work()
    wizard.drain()
    assert started()["state"] == "done", started()
    boards = wizard.monday.boards()
    assert started()["done"][0] == f"made the board “Contacts” ({boards[0]['id']})"
    assert [board["name"] for board in boards] == ["Contacts"]
    assert len({column["title"] for column in boards[0]["columns"]}) == len(boards[0]["columns"])
    assert len(wizard.monday.control("webhooks", "GET")["webhooks"]) == len(WEBHOOK_EVENTS)
    assert {mapping.version for mapping in FieldMapping.objects.all()} == {1}
    assert sorted(item["name"] for item in wizard.monday.items()) == ["Ann Ångström", "Bob Stone"]


def test_a_relation_waits_for_the_board_that_another_worker_is_making(wizard: Wizard) -> None:
    people()
    wizard.boards(organization="new", contact="new")
    wizard.fields("organization")
    wizard.fields("contact", column_organization="+")
    wizard.plan()
    wizard.start()
    wizard.mark = wizard.last_call()
    lease = acquire(BoardLink.objects.get(entity_type="organization"))
    assert lease is not None
    with lease:
        wizard.work()
        assert not wizard.mutations()
    wizard.work()
    assert {started(kind)["state"] for kind in ("organization", "contact")} == {"done"}
    assert len(wizard.monday.boards()) == 2
    assert "The boards are set up; their records are being synced" in wizard.get("run/")
    # A finished set-up keeps no personal data.
    assert "choices" not in started()
    assert "Stone" not in str(started())
    wizard.settle()
    assert "The set-up is done" in wizard.get("run/")
    assert wizard.monday.item_named("Ann Ångström")["values"]["organization"] == "Nova Labs"
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert "NPD has none there yet" not in wizard.get("run/")
    Contact.objects.all().delete()
    assert "Add or import records in Contacts : NPD has none there yet." in wizard.get("run/")


def test_only_who_may_change_boards_and_mappings_comes_in(wizard: Wizard) -> None:
    names = [name.split(".")[1] for name in REQUIRED_PERMISSIONS]
    client = signed_in(staff_who_may(names[0]))
    assert {client.get(START + end).status_code for end in ENDS} == {403}
    assert client.post(START + "plan/").status_code == 403
    client.force_login(staff_who_may(*names, "view_mondayaccount", name="mapper"))
    assert {client.get(START + end).status_code for end in ("", "boards/")} == {200}
    assert client.get(START + "run/").url == START + "boards/"  # nothing was started yet


def test_a_column_to_be_made_never_takes_over_one_with_its_id_and_another_title(wizard: Wizard) -> None:
    """People call it “Fax” and said that it isn't the phone: its values stay."""
    board = a_board(wizard.monday, "CRM", ("mail", "Email", "email"), ("phone", "Fax", "phone"))
    an_item(
        wizard.monday, board, "Zoe", mail=mail("zoe@x.org"), phone={"phone": "+12025550123", "countryShortName": "US"}
    )
    wizard.planned(board, column_phone="+")
    wizard.apply()
    columns = {column["id"]: column["title"] for column in wizard.monday.boards()[0]["columns"]}
    column_id = FieldMapping.objects.get(key="phone").column_id
    assert (columns["phone"], columns[column_id]) == ("Fax", "Phone")
    assert column_id != "phone"


def test_a_field_left_out_is_not_synced_again_by_the_command(wizard: Wizard) -> None:
    wizard.boards(organization=a_board(wizard.monday, "Firms"), contact=a_board(wizard.monday, "CRM", *PEOPLE))
    wizard.fields("organization")
    wizard.fields("contact", column_notes="")
    wizard.plan()
    wizard.apply()
    list(set_up_all())
    assert FieldMapping.objects.get(link__entity_type="contact", key="notes").direction == "none"


def test_an_item_that_waits_for_its_match_key_was_compared(wizard: Wizard) -> None:
    board = planned(wizard)
    an_item(wizard.monday, board, "Cid")
    wizard.planned(board, creates_records="on", creates_anyway="on")
    wizard.apply()
    assert SyncQueue.objects.filter(status="pending").exists()
    page = wizard.get("run/")
    assert "All records and items were compared." in page
    assert page.index("Planned, ") < page.index("What happened")
