"""A client that is generated from the schema calls every operation, and gets typed answers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.models import Decision, GuardedAct, RefusedItem, SyncQueue
from tests.conflicts.conftest import PHONE, conflict_of, finding, record
from tests.conflicts.test_undo import settled
from tests.support.world import World
from tests.undo.test_undo import pulled

PACKAGE = "npd_client"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package; a warning of the generator fails."""
    folder = tmp_path_factory.mktemp("generated")
    schema, config = folder / "schema.json", folder / "config.json"
    call_command("spectacular", "--format", "openapi-json", file=str(schema))
    config.write_text(json.dumps({"post_hooks": []}))
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ["--path", str(schema), "--output-path", str(folder / PACKAGE), "--config", str(config)]
    ran = subprocess.run(
        [generator, "generate", *options, "--meta", "none", "--fail-on-warning"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, "Warning" in ran.stdout) == (0, False), ran.stdout + ran.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module(PACKAGE)


@dataclass
class Caller:
    """Somebody with a token, and the operations by name."""

    package: ModuleType
    url: str
    token: str

    def __post_init__(self) -> None:
        self.client = self.package.AuthenticatedClient(
            self.url, self.token, prefix="Token", headers={"Connection": "close"}
        )
        self.models = importlib.import_module(f"{PACKAGE}.models")
        root = Path(str(self.package.__file__)).parent
        names = {path.stem: f"{PACKAGE}.api.{path.parent.name}.{path.stem}" for path in root.glob("api/*/[a-z]*.py")}
        self.operations = {name: importlib.import_module(module) for name, module in names.items()}

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *told: object) -> None:
        self.client.get_httpx_client().close()

    def body(self, model: str, **values: Any) -> dict[str, Any]:
        return {"body": getattr(self.models, model).from_dict(values)}

    def call(self, operation: str, *key: Any, **named: Any) -> Any:
        return self.operations[operation].sync_detailed(*key, client=self.client, **named)


Calls = list[tuple[str, tuple[Any, ...], dict[str, Any], int, str]]


def calls(caller: Caller, ground: dict[str, Any]) -> Calls:
    """Every operation, in an order in which each succeeds: its arguments, the code and what is answered."""
    body, found = caller.body, list[Any]()
    for kind, linked in (("contact", ground["linked"]), ("organization", ground["linked_organization"])):
        many, shape, mine = f"{kind}s", kind.capitalize(), ground[kind]
        found += [
            (f"{many}_list", (), {"search": "a", "page_size": 5}, 200, f"Paginated{shape}List"),
            (f"{many}_create", (), body(f"{shape}Request", name="New"), 201, shape),
            (f"{many}_retrieve", (mine.pk,), {}, 200, shape),
            (f"{many}_update", (mine.pk,), body(f"{shape}Request", name="Newer"), 200, shape),
            (f"{many}_partial_update", (mine.pk,), body(f"Patched{shape}Request", notes="n"), 200, shape),
            (f"{many}_history_list", (str(linked.pk),), {}, 200, "PaginatedDecisionList"),
            (f"{many}_sync_to_monday_create", (str(mine.pk),), {}, 200, f"{shape}SyncResponse"),
            (f"{many}_unlink_create", (str(linked.pk),), {}, 200, "LinkingAnswer"),
            (f"{many}_link_again_create", (str(mine.pk),), {}, 200, "LinkingAnswer"),
            (f"{many}_destroy", (mine.pk,), {}, 204, ""),
        ]
    conflict, settled_one, pull = ground["conflict"].pk, ground["settled"].pk, ground["pull"]

    def undone() -> Any:
        return Decision.objects.filter(kind="undo").latest("id").batch_id

    chosen = {"resolution_type": "keep_npd", "seen": {"phone": {"npd": PHONE.npd, "monday": PHONE.monday}}}
    found += [
        ("sync_conflicts_list", (), {"resolved": False}, 200, "PaginatedSyncConflictResponseList"),
        ("sync_conflicts_retrieve", (conflict,), {}, 200, "SyncConflictResponse"),
        ("sync_conflicts_stats_retrieve", (), {}, 200, "ConflictStats"),
        ("sync_conflicts_resolve_create", (conflict,), body("ResolveRequest", **chosen), 200, "SyncConflictResolved"),
        ("sync_conflicts_undo_create", (settled_one,), {}, 200, "SyncConflictResolved"),
        ("sync_history_undo_retrieve", (pull.pk,), {}, 200, "UndoPlan"),
        ("sync_batches_undo_retrieve", (pull.batch_id,), {}, 200, "UndoPlan"),
        ("sync_history_undo_create", (pull.pk,), {}, 200, "Undone"),
        ("sync_batches_undo_create", (undone,), {}, 200, "Undone"),
        ("sync_guard_list", (), {}, 200, "PaginatedGuardedActList"),
        *(
            (f"sync_guard_{how}_create", (), body("GuardDecisionRequest", ids=[act.pk]), 200, "GuardDecided")
            for how, act in zip(("approve", "reject"), ground["acts"], strict=True)
        ),
        ("sync_queue_list", (), {"entity_type": "organization"}, 200, "PaginatedQueueRowList"),
        ("sync_queue_stats_retrieve", (), {}, 200, "QueueStats"),
    ]  # fmt: skip
    for act, (one, other) in ground["rows"].items():
        found += [
            (f"sync_queue_{act}_create", (one.pk,), {}, 200, "QueueRow"),
            (
                f"sync_queue_{act}_all",
                (),
                {**body("ExpectedRequest", expect=1), "entity_id": other.entity_id},
                200,
                "Steered",
            ),
        ]
    return [
        *found,
        ("sync_queue_retrieve", (ground["rows"]["retry"][0].pk,), {}, 200, "QueueRow"),
        ("sync_queue_pause_create", (), body("PauseRequestRequest", why="w"), 200, "Pause"),
        ("sync_queue_pause_create", (), body("PauseRequestRequest", direction="to_npd"), 200, "Pause"),
        ("sync_pauses_list", (), {}, 200, "PaginatedPauseList"),
        ("sync_queue_resume_create", (), body("WhatRequest"), 200, "list"),
        ("sync_stats_retrieve", (), {}, 200, "SyncStats"),
        ("sync_states_list", (), {}, 200, "PaginatedSyncStateList"),
    ]


@pytest.fixture
def ground(world: World) -> dict[str, Any]:
    """What every operation needs to succeed."""
    person = get_user_model().objects.create_superuser("lead", "lead@example.test", "x")
    contact, conflict = settled(world, person, "keep_monday")
    moved = pulled(world, name="Bob")
    open_one = Contact.objects.create(name="Grace")
    record(finding(open_one, PHONE))
    navy = Organization.objects.create(name="Navy")
    Organization.objects.filter(pk=navy.pk).update(monday_id="990")
    made = {"contact": Contact.objects.create(name="Ada"), "organization": Organization.objects.create(name="Co")}
    for number, one in enumerate(made.values()):
        RefusedItem.objects.create(
            entity_type=one.entity_type(), item_id=f"77{number}", reason="why", let_go=True, entity_id=one.pk
        )
    return made | {
        "person": person,
        "linked": contact,
        "linked_organization": navy,
        "settled": conflict,
        "pull": Decision.objects.filter(entity_id=moved.pk, kind="pull", key="role_title").latest("id"),
        "conflict": conflict_of(open_one),
        "acts": [
            GuardedAct.objects.create(entity_type="contact", entity_id=uuid.uuid4(), kind="records", state="held")
            for _ in range(2)
        ],
        "rows": {
            act: [
                SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), status=status) for _ in range(2)
            ]
            for act, status in (("retry", "failed"), ("cancel", "pending"), ("discard", "failed"))
        },
    }


def test_every_operation_of_a_generated_client_gets_a_typed_answer(
    made: ModuleType, ground: dict[str, Any], live_server: Any
) -> None:
    nobody = get_user_model().objects.create_user("nobody")
    tokens = [Token.objects.create(user=user).key for user in (nobody, ground["person"])]
    with Caller(made, live_server.url, tokens[0]) as refused, Caller(made, live_server.url, tokens[1]) as caller:
        planned = calls(caller, ground)
        assert {name for name, *_ in planned} == set(caller.operations)
        for name, keys, named, code, shape in planned:
            keys_now = tuple(key() if callable(key) else key for key in keys)
            problem = refused.call(name, *keys_now, **named)
            assert (problem.status_code, type(problem.parsed).__name__) == (403, "Problem"), name
            answer = caller.call(name, *keys_now, **named)
            assert answer.status_code == code, (name, answer.content)
            assert type(answer.parsed).__name__ == (shape or "NoneType"), (name, answer.content)
    assert SyncConflict.objects.get(pk=ground["conflict"].pk).choice


@pytest.mark.parametrize(
    ("operation", "named", "code"),
    [
        ("contacts_list", {"page": 999}, 404),
        ("sync_queue_resume_create", {}, 409),
        ("contacts_create", {"name": "x" * 300}, 400),
    ],
)
def test_a_failure_is_a_problem(
    made: ModuleType, live_server: Any, operation: str, named: dict[str, Any], code: int
) -> None:
    person = get_user_model().objects.create_superuser("lead", "lead@example.test", "x")
    with Caller(made, live_server.url, Token.objects.create(user=person).key) as caller:
        given = caller.body("ContactRequest", **named) if operation == "contacts_create" else named
        answer = caller.call(operation, **given)
    assert (answer.status_code, type(answer.parsed).__name__, answer.parsed.status) == (code, "Problem", code)
