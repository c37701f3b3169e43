"""A worker that is told to end finishes or gives back what it has and begins nothing new; another continues."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as used
from django.core.management import call_command
from django.core.management.base import CommandError

from npd.models import Contact
from sync.choices import QueueStatus
from sync.clock import sync_now
from sync.kernel import process
from sync.limits import breaker, metered_client
from sync.limits.metered_client import SHUTDOWN_MESSAGE
from sync.models import ActivityLine, BoardLease, BoardLink, MondayAccount, SyncQueue
from sync.monday.client import MondayClient
from sync.monday.errors import SHUTTING_DOWN
from sync.operations import retention
from sync.operations.comparison import compare_due_boards
from sync.operations.sweep import boards_to_sweep, sweep_board, sweep_due_boards
from sync.outbox import wakeups
from sync.queue import SyncQueueService
from tests.support.refusals import refusal
from tests.support.words import said
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def goes_on() -> Iterator[None]:
    yield
    process.cancel_shutdown()


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(wakeups, "wake_board", lambda entity_type, seconds=0: sent.append(entity_type))
    return sent


def stop_after(
    monkeypatch: pytest.MonkeyPatch, calls: int, tell: Callable[[], object] = process.request_shutdown
) -> list[str]:
    """Tell this process to end during its n-th call; return the calls as they are made."""
    log: list[str] = []
    execute = MondayClient.execute

    def counted(self: MondayClient, document: str, *args: Any, **kwargs: Any) -> Any:
        log.append("write" if document.startswith("mutation") else "read")
        if len(log) == calls:
            tell()
        return execute(self, document, *args, **kwargs)

    monkeypatch.setattr(MondayClient, "execute", counted)
    return log


def in_hand() -> int:
    leases = BoardLease.objects.exclude(token=None)
    return SyncQueue.objects.filter(status=QueueStatus.IN_PROGRESS).count() + leases.count()


def waiting() -> list[tuple[int, str]]:
    rows = SyncQueue.objects.filter(status=QueueStatus.PENDING, entity_type="contact")
    return list(rows.values_list("attempts", "reason"))


def test_a_batch_is_given_back_while_read(world: World, woken: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    BoardLink.objects.update(batch_limit=4)
    Contact.objects.bulk_create(Contact(name=f"P{n}") for n in range(6))
    calls = stop_after(monkeypatch, 1)
    SyncQueueService().process("contact")
    assert calls == ["read"]
    assert world.sandbox.items() == []
    assert in_hand() == 0
    assert len(waiting()) == 6
    assert {attempts for attempts, _ in waiting()} == {0}
    assert {reason for _, reason in waiting()} == {"", SHUTDOWN_MESSAGE}
    assert woken == ["contact"]


def test_it_does_not_linger_nor_wait_for_another_workers_lease(world: World, woken: list[str]) -> None:
    Contact.objects.create(name="Ann")
    woken.clear()
    link = BoardLink.objects.get(entity_type="contact")
    BoardLease.objects.update_or_create(
        link=link,
        defaults={"token": "00000000-0000-0000-0000-000000000001", "expires": sync_now() + timedelta(hours=1)},
    )
    process.request_shutdown()
    SyncQueueService().process("contact", seconds=3_600, wait_for_lease=True)
    assert woken == ["contact"]


def test_no_call_leaves_and_nothing_is_paused_for_it(world: World) -> None:
    process.request_shutdown()
    before = len(world.sandbox.calls())
    with refusal(SHUTTING_DOWN) as refused:
        metered_client.client().execute("query { me { id } }", {})
    breaker.stop_account(refused.value)
    assert len(world.sandbox.calls()) == before
    assert not MondayAccount.objects.exclude(stops={}).exists()
    assert refused.value.sentence == SHUTDOWN_MESSAGE


def test_a_sweep_in_the_middle_is_due_again_at_once_and_has_no_problem(world: World) -> None:
    long_ago = sync_now() - timedelta(hours=2)
    BoardLink.objects.update(swept_at=long_ago, swept_to=long_ago)
    taken = list(boards_to_sweep())
    process.request_shutdown()
    assert ["had to end" in sweep_board(link).problem for link in taken] == [True, True]
    for link in BoardLink.objects.all():
        assert (link.swept_at, link.swept_to, link.sweep_problem) == (long_ago, long_ago, "")
    assert sweep_due_boards() == []
    process.cancel_shutdown()
    assert [result.problem for result in sweep_due_boards()] == ["", ""]


def test_a_comparison_cut_short_is_repeated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sync_now() - timedelta(hours=30)
    BoardLink.objects.update(compared_at=before, compared=said("All the same."))
    stop_after(monkeypatch, 1)
    [first] = compare_due_boards()
    assert "had to end" in first.problem
    for link in BoardLink.objects.all():
        assert (link.compared_at, link.compared) == (before, "All the same.")
    process.cancel_shutdown()
    assert [result.problem for result in compare_due_boards()] == ["", ""]


def test_pruning_ends_after_a_batch_and_the_rest_goes_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    old = sync_now() - timedelta(days=used.HISTORY_DAYS + 1)
    ActivityLine.objects.bulk_create(
        ActivityLine(entity_type="contact", kind="edit", sentence=said("old"), actor="") for _ in range(5)
    )
    ActivityLine.objects.update(at=old)
    process.request_shutdown()
    retention.prune()
    assert ActivityLine.objects.count() == 3
    process.cancel_shutdown()
    retention.prune()
    assert ActivityLine.objects.count() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_once_and_a_second_one_ends_at_once(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with process.shutdown_on_signals() as end:
        os.kill(os.getpid(), number)
        assert process.wait_or_shutdown(20)
        assert signal.getsignal(number) is former
    assert (end.signal_number, end.exit_code, process.is_shutting_down()) == (number, 128 + number, False)


def test_sync_drain_says_that_it_was_interrupted_and_ends_as_the_shell_expects(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    BoardLink.objects.update(batch_limit=4)
    Contact.objects.bulk_create(Contact(name=f"P{n}") for n in range(6))
    calls = stop_after(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(CommandError, match="Interrupted") as ended:
        call_command("sync_drain")
    assert ended.value.returncode == 130
    output = capsys.readouterr().out
    written = len(world.sandbox.items())
    assert f"{written} done, 0 failed." in output
    assert f"Left: {6 - written} contacts pending." in output
    assert (len(calls), in_hand()) == (2, 0)


def test_a_wait_ends_when_the_worker_is_told_to_end() -> None:
    started = time.monotonic()
    assert process.wait_or_shutdown(0.05) is False
    process.request_shutdown()
    assert process.wait_or_shutdown(3_600) is True
    assert time.monotonic() - started < 60


@pytest.mark.processes
def test_a_call_without_an_answer_does_not_hold_up_the_end_of_its_process() -> None:
    code = "import threading; from sync.kernel.process import call_within; call_within(0, threading.Event().wait)"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60)
    assert b"TimeoutError" in ended.stderr
