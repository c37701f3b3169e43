"""A message reads as its sentence and is stored as its code and values; it is found by what it says."""

import pytest
from django.core import serializers
from django.db.models import JSONField
from django.db.models.functions import Cast

from sync.models import ActivityLine
from sync.monday.board_items import Reason
from sync.monday.errors import BOARD_FULL, MondayError
from sync.words.message import Message, of_error, reason_of, sentences


def line_with(sentence: str) -> ActivityLine:
    line = ActivityLine.objects.create(entity_type="contact", kind="link", sentence=sentence, values={"why": sentence})
    return ActivityLine.objects.get(pk=line.pk)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message("item_created", item="Ann “A” \\ B"), "Created the item “Ann “A” \\ B” on the board."),
        (Message("transfer", label="Role", after="Boss", way=Message("way_sent")), "Role “Boss” sent to Monday."),
        (Message("imported", file="a.csv", new=1234, changed=0), "Imported “a.csv”: 1,234 new, 0 changed."),
        (Message("undone_value", by="Ben", label="Role", after="", before="Boss"),
         "Ben put Role back to empty (was “Boss”)."),
        (Message("conflict_ended", label="Role", npd=None, monday="Boss"),
         "The conflict on Role closed. NPD had (empty), Monday had “Boss”."),
        (sentences(Message("let_in"), "", Message("can_restore")),
         "It matches the filter again, and is synced again. You can restore it from here."),
        (of_error(MondayError(BOARD_FULL, "board is full.", request_id="r1")),
         f"Board is full. {BOARD_FULL.advice} [Monday request r1]"),
        # A reason of sync.monday, which knows no words.
        (reason_of(ValueError(Reason("problem_of_field", label="url", quote=Reason("no_link", value="nowhere")))),
         "url: “nowhere” is not a web address; it needs a form such as https://example.org"),
        (reason_of(ValueError(Reason("several_items", number=2, hidden=[Message("in_npd"), Reason("not_json")]))),
         ("it is connected with 2 items (in NPD; Monday's raw value is not JSON) where NPD holds one; "
         "leave one of them")),
    ],
)  # fmt: skip
def test_what_is_stored_reads_as_it_was_written(db: None, message: Message, words: str) -> None:
    line = line_with(message)
    assert str(message) == str(line.sentence) == str(line.values["why"]) == words
    assert line.sentence.code == line.values["why"].code == message.code
    assert line.sentence.to_json() == message.to_json()


def test_what_a_server_says_is_stored_without_what_postgresql_refuses(db: None) -> None:
    line_with(Message("quoted", quote="Col\0umn \ud800"))
    as_json = Cast("sentence", JSONField())  # as the triggers of sync_attention read it
    assert ActivityLine.objects.values_list(as_json, flat=True).get()["params"] == {"quote": "Column ?"}


def test_a_stored_message_whose_row_changed_or_is_gone_can_be_read(db: None) -> None:
    params = {"file": "a.csv", "why": {"code": "no_such_row", "params": {"item": "Ann"}}}
    ActivityLine.objects.create(kind="import", values={"of": {"code": "imported", "params": params}})
    message = ActivityLine.objects.get().values["of"]
    assert (message, message.params["why"]) == ("Imported “a.csv”:  new,  changed.", "no_such_row")
    assert message.to_json() == {"code": "imported", "params": params}


@pytest.mark.parametrize(("text", "finds"), [
    ("zoë", True), ("[x]", True), ('"Z"', True), ("created the", True), ("“zoë", False), ("item_created", False),
    ("params", False), ("Zoe", False),
])  # fmt: skip
def test_a_message_is_found_by_its_values_and_its_words_alone(db: None, text: str, finds: bool) -> None:
    line_with(Message("item_created", item='Zoë "Z" [x]'))
    assert ActivityLine.objects.filter(sentence__says=text).exists() is finds


def test_a_dump_of_the_database_keeps_codes_and_values(db: None) -> None:
    line = line_with(Message("not_restored", record="Ann", quote=Message("item_created", item="Ann")))
    dumped = serializers.serialize("json", [line])
    line.delete()
    for row in serializers.deserialize("json", dumped):
        row.save()
    loaded = ActivityLine.objects.get()
    assert [loaded.sentence.to_json(), loaded.values["why"].to_json()] == [line.sentence.to_json()] * 2
