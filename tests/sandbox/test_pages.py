"""What a person does on the sandbox's pages as the Monday user, in a browser and by the forms alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PAGE_TIMEOUT
from tests.sandbox.conftest import COLUMNS, Receiver, Simulator
from tests.support.pages import barriers
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

TOM = 67210012


@pytest.fixture
def window(chromium: "Browser", live: Simulator) -> Iterator["Page"]:
    context = chromium.new_context(base_url=live.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PAGE_TIMEOUT)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
    yield page
    context.close()
    assert complaints == []


def cell(window: "Page", item: str, column: str) -> "Locator":
    return window.locator(f"[id='{item}-{column}']")


def wait_for_focus(window: "Page", item: str, column: str) -> None:
    cell(window, item, column).and_(window.locator(":focus")).wait_for()


def page(simulator: Simulator, path: str) -> str:
    answer = simulator.session.get(simulator.url + path, timeout=10)
    assert answer.ok
    return answer.text


def send(simulator: Simulator, path: str, **form: str) -> str:
    """Send a form; return the page that follows."""
    return simulator.session.post(simulator.url + path, data=form, timeout=10).text


def test_every_type_of_cell_is_written_by_its_form(simulator: Simulator) -> None:
    board, companies = simulator.board(), simulator.board({})
    simulator.add_column(board, "company", "Company", "board_relation", boardIds=[int(companies)])
    simulator.new_item(companies, "Zoë, Ltd")
    item = simulator.new_item(board, "Ada")
    typed = {
        "name": "Ada L", "role": "Buyer", "notes": "two\r\nlines", "amount": "12.5", "email": "a@b.test",
        "day": "2026-12-01", "site": "https://b.test", "phone": "+46 31 701 55 00 SE", "stage": "Stuck",
        "kinds": "Partner, Buyer", "ticked": "true", "company": "Zoë, Ltd",
    }  # fmt: skip
    for column, text in typed.items():
        answer = send(simulator, f"/board/{board}", item=item, column=column, text=text)
        assert 'role="alert"' not in answer, answer
    expected = {**typed, "notes": "two\nlines", "phone": "+46 31 701 55 00", "ticked": "v"}
    assert expected.pop("name") == simulator.item(item)["name"]
    assert simulator.item(item)["values"].items() >= expected.items()
    for column in typed.keys() - {"name"}:
        send(simulator, f"/board/{board}", item=item, column=column, text="")
    assert set(simulator.item(item)["values"].values()) == {""}


def test_items_are_added_put_away_and_restored(simulator: Simulator, board: str) -> None:
    send(simulator, f"/board/{board}", do="add", text="Ada")
    (item,) = [row["id"] for row in simulator.boards()[0]["items"]]
    for act, state in (("archive", "archived"), ("restore", "active"), ("delete", "deleted"), ("restore", "active")):
        send(simulator, f"/board/{board}", do=act, item=item)
        assert simulator.item(item)["state"] == state
        assert f"item-{item}" in page(simulator, f"/board/{board}?state={state}")


def test_names_and_cells_are_escaped(simulator: Simulator, board: str) -> None:
    simulator.new_item(board, "<script>alert(1)</script>", role='"><img src=x>')
    text = page(simulator, f"/board/{board}")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert" in text


def test_by_keys_a_cell_is_edited_a_refusal_is_said_and_others_changes_appear(live: Simulator, window: "Page") -> None:
    board = live.board()
    item = live.new_item(board, "Ada", role="Buyer")
    window.goto(f"/board/{board}/pulses/{item}")
    keys = window.keyboard
    wait_for_focus(window, item, "name")
    cell(window, item, "amount").focus()
    keys.type("many")
    keys.press("Enter")
    window.get_by_role("alert").get_by_text("this is not a number").wait_for()
    assert cell(window, item, "amount").input_value() == "many"
    wait_for_focus(window, item, "amount")
    keys.press("Control+a")
    keys.type("12")
    keys.press("Enter")
    window.get_by_role("alert").wait_for(state="detached")
    wait_for_focus(window, item, "amount")
    live.act("edit", user_id=TOM, item_id=item, column_id="role", text="Chair")
    window.locator(f"#item-{item}", has_text="Tom Okafor").wait_for()
    assert cell(window, item, "role").input_value() == "Chair"
    wait_for_focus(window, item, "amount")
    cell(window, item, "role").fill("Being typ")
    live.act("edit", user_id=TOM, item_id=item, column_id="role", text="Owner")
    window.wait_for_timeout(2_500)
    assert cell(window, item, "role").input_value() == "Being typ"


def test_the_faults_page_holds_webhooks_and_lets_them_go(live: Simulator, window: "Page", receiver: Receiver) -> None:
    board = live.board()
    live.subscribe(board, receiver.url, "create_item")
    window.goto("/faults")
    window.get_by_role("button", name="Hold all").click()
    window.get_by_text("deliveries: held").wait_for()
    live.new_item(board, "Ada")
    live.new_item(board, "Bo")
    window.get_by_text("Kept back: 2").wait_for()
    window.locator("li", has_text="held create_item · Bo").wait_for()
    assert receiver.events == []
    window.get_by_role("button", name="Send", exact=True).click()
    assert [event["pulseName"] for event in receiver.wait(2)] == ["Ada", "Bo"]
    window.get_by_role("button", name="503 with an HTML page").click()
    window.locator("li", has_text="HTTP 503").wait_for()
    assert live.post("query { me { id } }").status_code == 503
    window.locator("li", has_text="HTTP 503").wait_for()
    window.get_by_text("Delete everything…").click()
    window.get_by_role("button", name="Delete all boards").click()
    wait_for("the boards are gone", lambda: live.boards() == [])


def test_no_page_has_a_barrier(live: Simulator, window: "Page") -> None:
    board = live.board(COLUMNS)
    item = live.new_item(board, "Ada", stage="Done", kinds={"labels": ["Buyer"]}, email="a@b.test")
    live.act("archive", item_id=live.new_item(board, "Bo"))
    live.faults({"status": 503, "count": 2})
    paths = ("/", f"/board/{board}/pulses/{item}", f"/board/{board}?state=archived", "/faults", "/board/1")
    for width, scheme in ((1280, "light"), (390, "dark")):
        window.set_viewport_size({"width": width, "height": 844})
        window.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for path in paths:
            window.goto(path)
            assert barriers(window) == []
