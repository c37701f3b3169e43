"""`monday_check --probe` from end to end: through quota and inbox, on an account that has boards of its own."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import responses
from django.core.management import CommandError, call_command
from django.db.models import Sum

from sync.connectors.monday import probe
from sync.models import ApiUsage, SyncQueue, WebhookEvent
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def run(world: World, *options: str, wait: Any = None) -> str:
    """What the command prints; to wait is to let the webhooks that were sent come in."""
    out = StringIO()
    given = {"wait": wait or (lambda seconds: world.deliver())}
    call_command("monday_check", "--probe", *options, stdout=out, stderr=out, **given)
    return out.getvalue()


def boards(world: World) -> list[dict[str, Any]]:
    return [board for board in world.sandbox.boards() if board["state"] != "deleted"]


def spent() -> float:
    return float(ApiUsage.objects.aggregate(Sum("calls"))["calls__sum"] or 0)


def test_it_asks_everything_writes_what_it_heard_and_leaves_account_and_inbox_as_they_were(
    world: World, tmp_path: Path
) -> None:
    contact = world.linked("Ann", role_title="Boss")
    before = boards(world), list(WebhookEvent.objects.values("id")), list(SyncQueue.objects.values())
    calls, counted, file = world.calls(), spent(), tmp_path / "recording.json"
    said = run(world, "--record", str(file))
    lines = [line for line in said.splitlines() if line.startswith(("same", "DIFFERS", "not asked"))]
    assert [line.split()[1].rstrip(":") for line in lines] == [q.key for q in probe.all_questions(patient=False)]
    assert {line.split()[0] for line in lines} == {"same"}
    assert (boards(world), list(WebhookEvent.objects.values("id")), list(SyncQueue.objects.values())) == before
    made = world.calls() - calls
    assert spent() - counted == made
    assert f"{made} calls were made" in said
    recorded = file.read_text()
    assert len(json.loads(recorded)["exchanges"]) > made  # webhooks, too
    assert [word for word in (world.sandbox.token, str(contact.monday_id)) if word in recorded] == []


def test_what_differs_is_named_with_what_it_would_mean_and_ends_it_with_1(world: World, tmp_path: Path) -> None:
    world.sandbox.control("plan", plan="pro", headers=True)
    out = StringIO()
    with pytest.raises(CommandError, match=r"limit-headers") as refused:
        call_command(
            "monday_check",
            "--probe",
            "--json",
            "--record",
            str(tmp_path / "r.json"),
            stdout=out,
            wait=lambda seconds: world.deliver(),
        )
    assert refused.value.returncode == 1
    answers = {one["key"]: one for one in json.loads(out.getvalue())["answers"]}
    assert [key for key, one in answers.items() if one["differs"]] == ["limit-headers"]
    assert answers["limit-headers"]["answer"] == "RateLimit-Policy and RateLimit"
    assert answers["limit-headers"]["otherwise"]


@responses.activate
def test_a_dry_run_lists_each_question_and_what_it_takes_and_calls_nobody(tmp_path: Path) -> None:
    file, said = tmp_path / "recording.json", {"": StringIO(), "--patient": StringIO()}
    for option, out in said.items():
        options = ["--dry-run", *filter(None, [option]), "--record", str(file)]
        call_command("monday_check", "--probe", *options, stdout=out)
    assert not responses.calls
    hasty, patient = (out.getvalue() for out in said.values())
    assert f"{probe.cost(patient=False).calls} API calls" in hasty
    assert f"{probe.cost(patient=True).calls} API calls" in patient
    assert {one.key for one in probe.all_questions()} <= {line.partition(":")[0] for line in patient.splitlines()}
    assert not file.exists()


@pytest.mark.parametrize("options", [["--record", "x.json"], ["--dry-run"], ["--patient"]])
def test_what_belongs_to_the_probe_is_refused_without_it(options: list[str]) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("monday_check", *options)
    assert refused.value.returncode == 2


def test_ctrl_c_in_the_middle_leaves_nothing_behind(world: World, tmp_path: Path) -> None:
    before, waits = boards(world), [0]

    def interrupted(seconds: float) -> None:
        waits[0] += 1
        if waits[0] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, "--record", str(tmp_path / "recording.json"), wait=interrupted)
    assert boards(world) == before
