"""What Monday changes before it stores it: case, spaces, tags, characters; and the day of a date with a time."""

from datetime import date

import pytest

from sandbox.faults import ALTERATIONS
from sync.limits import probes
from sync.models import MondayAccount
from sync.monday.account import AccountInfo
from sync.monday.text_forms import looks_same
from tests.engine.test_column_types import deal, sales, with_deals
from tests.support.world import World

__all__ = ["sales", "with_deals"]


def altering(world: World, alteration: str, *columns: str) -> None:
    """Let Monday alter the texts of these columns; "name" is the item's name."""
    world.sandbox.control("faults", alters=alteration, columns=list(columns or ("role_title",)))


@pytest.mark.parametrize(
    ("alteration", "text", "is_lossless"),
    [
        ("folded", "Head  of   sales", True),
        ("small", "Head of SALES", True),
        ("tags dropped", "<b>Head</b> of <br/>sales", True),
        ("tags closed", "<b>Head of sales", True),
        ("invisible dropped", "Head\u200b of sales\ufeff", True),
        ("cut", "Head of sales", False),
        ("tags dropped", "Ann <ann@example.org>", False),
        ("tags dropped", "1 < 2 and 3 > 2", False),
        ("tags dropped", '<a href="https://x.org">Head</a>', False),
        ("accents dropped", "Café", False),
    ],
)
def test_nothing_is_lost_where_only_what_nobody_reads_differs(alteration: str, text: str, is_lossless: bool) -> None:
    assert text != ALTERATIONS[alteration](text)
    assert looks_same(text, ALTERATIONS[alteration](text)) is is_lossless


@pytest.mark.parametrize(
    ("sent", "stored", "expected"),
    [
        ("O’Brien – “chief” …", 'O\'Brien - "chief" ...', True),
        ("«Chef» ‹Vize›", "\"Chef\" 'Vize'", True),
        ("`O´Brien`", "'O'Brien'", True),
        ("a -- b", "a — b", True),
        ("\uff21\uff23\uff2d\uff25 \ufb01rm ｶﾞ", "ACME firm ガ", True),
        ("x²", "x2", False),
        ("½", "1/2", False),
        ("a - b", "a b", False),
        ("O’Brien", "OBrien", False),
        ("™", "TM", False),
    ],
)
def test_signs_that_are_read_alike(sent: str, stored: str, expected: bool) -> None:
    assert looks_same(sent, stored) is expected


def test_what_nothing_is_lost_by_is_synced_with_a_note(world: World) -> None:
    ann = world.linked("Ann")
    altering(world, "tags dropped")
    world.save(ann, role_title="<b>Head</b>")
    world.hear(ann, rounds=3, minutes=3)
    assert world.status(ann) == "synced", world.sync_state(ann).note
    assert "Nothing is lost" in world.sync_state(ann).altered["role_title"]["reason"]
    assert (ann.role_title, world.values(ann)["role_title"]) == ("<b>Head</b>", "Head")
    page = world.browser(world.administrator("olga")).get(f"/admin/npd/contact/{ann.pk}/change/").content.decode()
    assert "Nothing is lost" in page
    # Edits of either side still sync.
    world.edit(ann, "role_title", "Chair")
    world.hear(ann)
    assert (ann.role_title, world.status(ann), world.sync_state(ann).altered) == ("Chair", "synced", {})


def test_a_value_that_lost_characters_stays_pending_with_the_reason(world: World) -> None:
    ann = world.linked("Ann")
    altering(world, "cut")
    world.save(ann, role_title="Head\u200b of sales")
    world.hear(ann, rounds=3, minutes=3)
    assert (world.status(ann), ann.role_title) == ("pending", "Head\u200b of sales")
    reason = world.sync_state(ann).altered["role_title"]["reason"]
    assert "Change it on either side" in reason
    assert "“Head[zero width space] of sales”" in reason


def test_a_cells_day_is_that_of_the_tokens_user(sales: World) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults={"time_zone": "Asia/Tokyo"})
    record = deal(sales, due=date(2026, 1, 20))
    sales.edit(record, "due", {"date": "2026-01-31", "time": "23:00:00"})
    sales.hear(record)
    assert (record.due, sales.status(record)) == (date(2026, 2, 1), "synced")


def test_the_time_zone_is_stored_where_the_token_is_tested(world: World) -> None:
    probes.store_account_info(AccountInfo(user_id="7", time_zone="Asia/Tokyo"))
    assert MondayAccount.objects.get().time_zone == "Asia/Tokyo"
    probes.refresh_account_info()
    assert MondayAccount.objects.get().time_zone == "UTC"


def test_of_a_list_each_element_counts_whatever_their_order() -> None:
    assert looks_same(("ALPHA", "Alpha", "zebra"), ("Zebra", "alpha"))
    assert not looks_same(("Zebra", "alpha"), ("alpha",))
    assert not looks_same(("alpha",), ("Alpha", "Zebra"))
    assert not looks_same(("alpha",), None)
