"""Between containers a browser and a program reach the same thing by different addresses."""

from urllib.parse import urlsplit

from sandbox.web import NpdAddress
from tests.sandbox.conftest import Receiver, Simulator


def test_webhooks_go_by_the_inner_address_and_name_the_public_one(receiver: Receiver) -> None:
    inner = "http://" + urlsplit(receiver.url).netloc
    simulator = Simulator(npd=NpdAddress("https://npd.invalid:8443", inner), signing_secret="s" * 40)
    board = simulator.board()
    simulator.subscribe(board, "https://npd.invalid:8443/hooks/", "create_item")
    simulator.control("actions", {"action": "add", "board_id": board, "name": "Ada"})
    receiver.wait()
    for headers in (receiver.challenges[0], receiver.headers[0]):
        assert (headers["Host"], headers["X-Forwarded-Proto"]) == ("npd.invalid:8443", "https")
