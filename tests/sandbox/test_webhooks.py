"""Webhooks: shapes, challenge, signature, retries."""

from urllib.parse import urlsplit

import jwt

from sandbox.web import NpdAddress
from tests.sandbox.conftest import Receiver, Simulator
from tests.support.waiting import wait_for

SECRET = "a signing secret for the tests of the sandbox"
API_USER = 67210000


def test_an_unanswered_delivery_is_repeated_a_minute_later(simulator: Simulator, receiver: Receiver) -> None:
    board = simulator.board({})
    simulator.subscribe(board, receiver.url, "create_item")
    receiver.status = "500 Internal Server Error"
    simulator.new_item(board)
    receiver.wait()
    wait_for("a retry is planned", lambda: simulator.webhooks()["deliveries"][0]["state"] == "retrying")
    receiver.status = "200 OK"
    simulator.control("clock", offset_seconds=61)
    first, second = receiver.wait(2)
    assert first["triggerUuid"] == second["triggerUuid"]
    assert (first["isRetry"], second["isRetry"]) == (False, True)
    delivery = wait_for(
        "it is delivered", lambda: [d for d in simulator.webhooks()["deliveries"] if d["state"] == "delivered"]
    )[0]
    assert [attempt["status"] for attempt in delivery["tries"]] == [500, 200]


def test_only_a_signing_secret_signs_and_the_challenge_stays_unsigned(simulator: Simulator, receiver: Receiver) -> None:
    for sender in (Simulator(signing_secret=SECRET), simulator):
        board = sender.board({})
        sender.subscribe(board, receiver.url, "create_item")
        sender.new_item(board)
    receiver.wait(2)
    tokens = [call.get("HTTP_AUTHORIZATION") for call in receiver.calls]
    assert tokens.count(None) == 1
    token = next(candidate for candidate in tokens if candidate)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=receiver.url)
    assert claims["exp"] - claims["iat"] == 300
    assert claims["userId"] == API_USER
    assert all("HTTP_AUTHORIZATION" not in call for call in receiver.challenges)


def test_webhooks_go_by_the_inner_address_and_name_the_public_one(receiver: Receiver) -> None:
    """Between containers a browser and a program use different addresses for the same thing."""
    inner = "http://" + urlsplit(receiver.url).netloc
    simulator = Simulator(npd=NpdAddress("https://npd.invalid:8443", inner), signing_secret="s" * 40)
    board = simulator.board()
    simulator.subscribe(board, "https://npd.invalid:8443/hooks/", "create_item")
    simulator.act("add", board_id=board, name="Ada")
    receiver.wait()
    for call in (receiver.challenges[0], receiver.calls[0]):
        assert (call["HTTP_HOST"], call["HTTP_X_FORWARDED_PROTO"]) == ("npd.invalid:8443", "https")


def test_a_rule_or_a_fault_for_none_changes_nothing(simulator: Simulator) -> None:
    assert simulator.control("webhooks", rule="drop", count=0) == []
    assert simulator.control("faults", status=500, count=0) == []


def test_a_list_with_a_wrong_entry_is_refused_whole(simulator: Simulator) -> None:
    for path, entries in (("faults", [{"status": 500}, {"wrong": 1}]), ("webhooks", [{"rule": "drop"}, 5])):
        answer = simulator.session.post(f"{simulator.url}/_control/{path}", json=entries, timeout=5)
        assert answer.status_code == 400
    assert simulator.control("faults", "GET") == simulator.control("webhooks", "GET")["rules"] == []
