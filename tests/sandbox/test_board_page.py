"""The board page in a browser: what a person can do there, by mouse and by keys, while others change things."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PAGE_TIMEOUT
from tests.sandbox.conftest import COLUMNS, Receiver, Simulator
from tests.support.pages import barriers, serious
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

TOM = 67210012
MORE = {"owner": "people", "land": "country", "place": "location", "tags": "tags", "trip": "timeline"}


@pytest.fixture
def simulator(live: Simulator) -> Simulator:
    return live


@pytest.fixture
def window(chromium: "Browser", simulator: Simulator) -> Iterator["Page"]:
    """A window of 1280 by 900 onto the sandbox."""
    context = chromium.new_context(base_url=simulator.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PAGE_TIMEOUT)
    found = context.new_page()
    complaints: list[str] = []
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
    yield found
    context.close()
    assert complaints == []


def open_board(window: "Page", board: str) -> None:
    window.goto(f"/board/{board}")
    window.locator("#live", has_text="live").wait_for()


def cell(window: "Page", item: str, column: str) -> "Locator":
    return window.locator(f"#item-{item} .cell[data-column='{column}']")


def type_into(window: "Page", item: str, column: str, text: str) -> None:
    cell(window, item, column).click()
    window.locator(".editor").fill(text)
    window.locator(".editor").press("Enter")
    window.locator(".editor").wait_for(state="detached")


def pick(window: "Page", item: str, column: str, *names: str, several: bool = False) -> None:
    """Choose by search and Enter; a last Enter saves where several can be chosen."""
    cell(window, item, column).click()
    for name in names:
        window.locator(".editor").fill(name)
        window.locator(".choices .at", has_text=name).wait_for()
        window.locator(".editor").press("Enter")
    if several:
        window.locator(".editor").press("Enter")
    window.locator(".editor").wait_for(state="detached")


def values(simulator: Simulator, item: str) -> dict[str, Any]:
    boards = simulator.read("boards")
    found = next(one for board in boards for one in board["items"] if one["id"] == item)
    return {"name": found["name"], "state": found["state"], **found["values"]}


def act(simulator: Simulator, action: str, **more: Any) -> Any:
    return simulator.control("actions", {"action": action, "user_id": TOM, **more})


def test_every_type_is_edited_in_its_own_way(simulator: Simulator, window: "Page") -> None:
    board = simulator.board(COLUMNS | MORE)
    item = simulator.item(board, "Ada")
    open_board(window, board)
    for column, text in {
        "name": "Ada L", "role": "Buyer", "notes": "two\nlines", "amount": "12.5", "email": "a@b.test",
        "day": "2026-12-01", "site": "https://b.test", "phone": "+46 31 701 55 00 SE",
    }.items():  # fmt: skip
        type_into(window, item, column, text)
    cell(window, item, "ticked").click()
    cell(window, item, "ticked").and_(window.locator("[aria-pressed=true]")).wait_for()
    pick(window, item, "stage", "Stuck")
    pick(window, item, "owner", "Noor", "Sales", several=True)
    pick(window, item, "land", "Sweden")
    pick(window, item, "tags", "spring", "autumn", several=True)
    pick(window, item, "kinds", "Partner", several=True)
    cell(window, item, "place").click()
    for field, text in zip(window.locator(".edit input").all(), ("Gothenburg", "57.7", "11.97"), strict=True):
        field.fill(text)
    window.locator(".editor").press("Enter")
    window.locator(".editor").wait_for(state="detached")
    cell(window, item, "trip").click()
    for field, text in zip(window.locator(".edit input").all(), ("2026-12-01", "2026-12-05"), strict=True):
        field.fill(text)
    window.locator(".editor").press("Enter")
    window.locator(".editor").wait_for(state="detached")
    found = values(simulator, item)
    assert found["name"] == "Ada L"
    assert {key: found[key] for key in ("role", "notes", "amount", "email", "day", "site", "phone")} == {
        "role": "Buyer",
        "notes": "two\nlines",
        "amount": "12.5",
        "email": "a@b.test",
        "day": "2026-12-01",
        "site": "https://b.test",
        "phone": "+46 31 701 55 00",
    }
    assert found["ticked"] == "v"
    assert (found["stage"], found["kinds"], found["land"]) == ("Stuck", "Partner", "Sweden")
    assert (found["owner"], found["tags"]) == ("Noor Haddad, Sales", "spring, autumn")
    assert (found["place"], found["trip"]) == ("Gothenburg", "2026-12-01 - 2026-12-05")


def test_an_update_takes_nobodys_typing_says_what_changed_meanwhile_and_else_flashes(
    simulator: Simulator, board: str, window: "Page"
) -> None:
    item = simulator.item(board, "Ada", role="Buyer")
    open_board(window, board)
    cell(window, item, "role").click()
    window.locator(".editor").fill("Head of pur")
    act(simulator, "edit", item_id=item, column_id="notes", text="from Tom")
    window.locator(f"#item-{item}", has_text="from Tom").wait_for()
    act(simulator, "edit", item_id=item, column_id="role", text="Engineer")
    note = window.locator(".meanwhile")
    note.wait_for()
    assert "Tom Okafor changed this to “Engineer” meanwhile" in note.inner_text()
    assert window.locator(".editor").input_value() == "Head of pur"
    window.locator(".editor").press("Escape")
    window.locator(f"#item-{item} .cell[data-column=role]", has_text="Engineer").wait_for()
    assert values(simulator, item)["role"] == "Engineer"
    act(simulator, "edit", item_id=item, column_id="role", text="Owner")
    window.locator(f"#item-{item} .flash[data-column=role]").wait_for()
    window.locator("#news", has_text="Tom Okafor changed Role of Ada").wait_for(state="attached")
    window.locator(f"#item-{item}", has_text="just now · Tom Okafor").wait_for()


def test_the_keys_of_a_grid_move_edit_clear_and_undo(simulator: Simulator, board: str, window: "Page") -> None:
    first = simulator.item(board, "Ada", role="Buyer")
    second = simulator.item(board, "Bo", role="Head")
    window.goto(f"/board/{board}?sort=board")
    window.locator("#live", has_text="live").wait_for()
    assert window.locator('#grid [tabindex="0"]').count() == 1
    cell(window, first, "role").focus()
    keys = window.keyboard
    keys.press("ArrowDown")
    assert focused(window) == (second, "role")
    keys.press("ArrowLeft")
    assert focused(window) == (second, "phone")
    keys.press("End")
    assert focused(window) == (second, "npd_id")
    keys.press("Control+Home")
    keys.press("ArrowDown")
    keys.press("Home")
    assert focused(window) == (first, "name")
    cell(window, first, "role").focus()
    keys.type("Chief")
    assert window.locator(".editor").input_value() == "Chief"
    keys.press("Tab")
    window.locator(".cell:focus[data-column=notes]").wait_for()
    assert values(simulator, first)["role"] == "Chief"
    keys.press("ArrowLeft")
    keys.press("Delete")
    wait_for("the cell is cleared", lambda: values(simulator, first)["role"] == "")
    window.locator(".cell:focus[data-column=role]").wait_for()
    keys.press("Control+z")
    wait_for("it is back", lambda: values(simulator, first)["role"] == "Chief")
    keys.press("Control+z")
    wait_for("and what was there first", lambda: values(simulator, first)["role"] == "Buyer")


def focused(window: "Page") -> tuple[str, str]:
    found: list[str] = window.evaluate(
        "[document.activeElement.closest('tr').dataset.item, document.activeElement.dataset.column]"
    )
    return found[0], found[1]


def test_the_drawer_holds_webhooks_and_lets_them_go(
    simulator: Simulator, board: str, window: "Page", receiver: Receiver
) -> None:
    simulator.subscribe(board, receiver.url, "create_item")
    open_board(window, board)
    window.get_by_role("button", name="Faults & tools").click()
    drawer = window.locator("#tools")
    drawer.get_by_role("button", name="Hold all").click()
    drawer.get_by_text("any event: held").wait_for()
    simulator.item(board, "Ada")
    simulator.item(board, "Bo")
    drawer.get_by_text("2 deliveries are kept back").wait_for()
    assert receiver.got == []
    window.locator("#deliveries li", has_text="held").first.wait_for()
    drawer.get_by_role("button", name="Send", exact=True).click()
    assert [event["pulseName"] for event in receiver.wait(2)] == ["Ada", "Bo"]
    drawer.get_by_role("button", name="503, a page").click()
    drawer.locator("li", has_text="503, a page").wait_for()
    assert simulator.post("query { me { id } }").status_code == 503
    window.locator("#calls li", has_text="503").first.locator("summary").click()
    window.locator("#calls details[open] dd", has_text="HTTP 503").first.wait_for()
    window.keyboard.press("Escape")


def test_no_serious_accessibility_violation(simulator: Simulator, window: "Page") -> None:
    board = simulator.board(COLUMNS | MORE)
    item = simulator.item(
        board,
        "Ada",
        stage="Done",
        kinds={"labels": ["Buyer"]},
        email="a@b.test",
        land={"countryCode": "SE", "countryName": "Sweden"},
    )
    window.emulate_media(color_scheme="light", reduced_motion="reduce")
    open_board(window, board)
    assert barriers(window) == []
    window.set_viewport_size({"width": 390, "height": 844})
    window.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert barriers(window) == []
    cell(window, item, "stage").click()
    window.locator(".choices li").first.wait_for()
    assert serious(window) == []
    window.keyboard.press("Escape")
    window.get_by_role("button", name="Faults & tools").click()
    window.locator("#tools section").first.wait_for()
    assert serious(window) == []
