"""The demo, run once for this folder, with the real sandbox and all 600 records."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from config.embedded.launcher import NEW_ITEM_WAIT
from tests.support import rows
from tests.support.child import Child
from tests.support.in_process import Hooks
from tests.support.prepared import Prepared
from tests.support.sandbox import Sandbox
from tests.support.site import sandbox_process

PASSWORD = "demo-password"


@dataclass
class Played:
    sandbox: Sandbox
    output: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)  # left in the sandbox

    def command(self, *arguments: str) -> str:
        out = StringIO()
        call_command("demo", *arguments, stdout=out)
        return out.getvalue()


@pytest.fixture(scope="module")
def played(
    running_sandbox: list[Child], hooks: Hooks, prepared: Prepared, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Played]:
    """Run `manage.py demo` on an empty database and sandbox; empty both afterwards."""
    if not running_sandbox or running_sandbox[0].ended is not None:
        running_sandbox[:] = [sandbox_process()]
    sandbox = Sandbox(f"http://127.0.0.1:{settings.SANDBOX_PORT}", settings.MONDAY_API_KEY, "", running_sandbox[0].pid)
    sandbox.reset()
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        _point_at(patch, sandbox, hooks)
        demo = Played(sandbox)

        def play() -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
            return demo.command(), sandbox.calls(), sandbox.control("faults", "GET")

        try:
            demo.output, demo.calls, demo.faults = prepared.restore_or_make(sandbox, "demo", play)
            sandbox.faults(*demo.faults)  # a restored sandbox has none
            yield demo
        finally:
            sandbox.reset()
            rows.empty()
            sandbox.session.close()


@pytest.fixture
def spoiled(played: Played, db: None) -> Iterator[Played]:
    """For tests that move the sandbox's clock or change its boards, which are restored."""
    played.sandbox.control("snapshot", name="played")
    yield played
    played.sandbox.control("restore", name="played")
    played.sandbox.faults(*played.faults)


def _point_at(patch: pytest.MonkeyPatch, sandbox: Sandbox, hooks: Hooks) -> None:
    patch.setattr(settings, "MONDAY_API_URL", sandbox.api_url)
    patch.setattr(settings, "NEW_ITEM_WAIT_SECONDS", float(NEW_ITEM_WAIT))
    patch.setattr(settings, "SITE_URL", hooks.url)
    patch.setenv("ADMIN_PASSWORD", PASSWORD)
