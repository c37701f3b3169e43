"""The engine's world, in which people change the boards' columns."""

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from sync.models import FieldMapping
from sync.operations.setup import run, selection
from sync.operations.setup.plan import make_plan, request_plan, stored_plan
from sync.operations.sweep import sweep_board
from tests.admin import states
from tests.support.world import World


class Owner:
    """The owner of the contacts board, and the sweep that notices their changes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def column(self, column_id: str, action: str, **more: Any) -> None:
        self.world.sandbox.control(
            "columns", board_id=int(self.world.board_id()), column_id=column_id, action=action, **more
        )

    def retitle(self, column_id: str, title: str) -> None:
        document = """mutation ($b: ID!, $c: String!, $t: String!)
            { change_column_title(board_id: $b, column_id: $c, title: $t) { id } }"""
        self.world.sandbox.query(document, b=self.world.board_id(), c=column_id, t=title)

    def sweep(self) -> None:
        self.world.pass_time(minutes=11)
        assert sweep_board(self.world.link()).problem == ""
        self.world.work()

    def mapping(self, key: str = "role_title") -> FieldMapping:
        return FieldMapping.objects.get(link=self.world.link(), key=key)

    def choose(self, by: str, key: str = "role_title", **values: str) -> None:
        """Somebody changes a field's column, direction or rule in the set-up, and a worker applies it."""
        choices = selection.choose_boards({"contact": self.world.board_id()}, {})["contact"]
        fields = {**choices.fields, key: replace(choices.fields[key], **values)}
        choices = replace(choices, fields=fields)
        plan_key = selection.plan_key({"contact": choices})
        request_plan(plan_key, [choices])
        make_plan(plan_key)
        plan = stored_plan(plan_key)
        assert plan is not None
        user = get_user_model().objects.get(username=by)
        run.start(user, plan)
        run.advance_setups()
        assert self.world.link().setup["state"] == "done", self.world.link().setup


@pytest.fixture
def owner(world: World) -> Owner:
    owner = Owner(world)
    world.stage("swept once", owner.sweep)
    return owner


@pytest.fixture
def admin(world: World) -> Client:
    return world.browser(world.administrator("lead"))


@pytest.fixture
def mapped(transactional_db: None, client: Client) -> Client:
    """An administrator's browser, beside a contacts board that isn't asked."""
    link = states.boards()["contact"]
    titles = {"role_title": "Role", "position": "Position", "rank": "Rank"}
    link.shape = {"columns": {key: {"title": title, "type": "text"} for key, title in titles.items()}}
    link.save()
    client.force_login(get_user_model().objects.create_superuser("lead", password="x"))
    return client
