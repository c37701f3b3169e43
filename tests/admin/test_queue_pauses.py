"""Pausing and resuming on the queue's screen."""

from __future__ import annotations

import re

from django.contrib.admin.models import LogEntry
from django.test import Client

from sync.models import BoardLink, QueuePause
from tests.admin import states
from tests.admin.queue_pages import PAUSE, RESUME, card_of
from tests.admin.test_records import words_of

PAUSES = (("", "Everything", ("Paused", "Paused")), ("contact", "Contacts", ("Syncing", "Paused")))


def test_what_is_paused_says_who_since_when_and_why_until_it_is_resumed(browser: Client) -> None:
    states.boards()
    for entity_type, what, badges in PAUSES:
        form = {"entity_type": entity_type}
        html = browser.post(PAUSE, form | {"why": "Moving the board"}, follow=True).content.decode()
        text = words_of(html)
        assert f"{what}: paused. Changes are kept and wait until it is resumed." in text
        assert re.search(rf"{what}: paused. By dora since \d+ \w+ \d+, \d\d:\d\d UTC *\. Moving the board Resume", text)
        for title, badge in zip(("Organizations", "Contacts"), badges, strict=True):
            assert re.match(rf" *{title} +{badge}", card_of(html, title))
        assert LogEntry.objects.latest("id").change_message == f"Paused: {what}. Moving the board"
        answer = browser.post(RESUME, form, follow=True)
        assert f"{what}: resumed." in words_of(answer.content.decode())
        assert not QueuePause.objects.exists()
        assert LogEntry.objects.latest("id").change_message == f"Resumed: {what}."


def test_a_link_pauses_and_resumes_nothing(browser: Client) -> None:
    asked = [browser.get(url).status_code for url in (PAUSE, f"{PAUSE}?entity_type=contact", RESUME)]
    assert asked == [200, 200, 405]  # a pause asks
    assert browser.post(RESUME, {"entity_type": "x"}, follow=True).status_code == 200
    assert not QueuePause.objects.exists()


def test_health_and_a_board_ask_what_to_pause_and_lead_back(browser: Client) -> None:
    states.boards()
    board = f"/admin/sync/boardlink/{BoardLink.objects.get(entity_type='contact').pk}/change/"
    for page, asked in (("/admin/", ["entity_type"]), (board, [])):
        [address] = re.findall(rf'href="({PAUSE}[^"]*)"', browser.get(page).content.decode())
        question = browser.get(address.replace("&amp;", "&"))
        assert [one.name for one in question.context["question"].selections] == asked
        sent = dict(question.context["hidden"])
        assert browser.post(PAUSE, sent).headers["Location"] == page
        paused = QueuePause.objects.get()
        assert paused.entity_type == sent.get("entity_type", "")
        paused.delete()


def test_a_reason_is_stored_as_one_line_without_what_controls_how_it_is_read(browser: Client) -> None:
    states.boards()
    answer = browser.post(PAUSE, {"why": "Moving\0 the\r\nboard\x1b\x9b \u202eagain"}, follow=True)
    assert answer.status_code == 200
    assert QueuePause.objects.get().why == "Moving the board again"
