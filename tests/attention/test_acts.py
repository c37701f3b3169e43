"""Every act that a person is offered is one of `ACTS`, and Home can do what its groups offer."""

import pytest

from sync.admin import handlers
from sync.attention import CAUSES, KINDS, Kind, acts_of
from sync.kernel.messages import ACTS


@pytest.mark.parametrize(("kind", "code"), [*((kind, "") for kind in KINDS), *CAUSES])
def test_each_act_of_a_cause_can_be_done_on_home_or_in_the_banner(kind: Kind, code: str) -> None:
    offered = acts_of(kind, code)
    expected = [] if kind is Kind.STOP else offered
    assert [handler.act for handler in handlers.handlers_of(kind, code)] == expected


def test_each_act_says_what_it_does_as_a_sentence_and_asks_before_it_deletes() -> None:
    for act in ACTS.values():
        assert act.effect.endswith("."), act.code
        assert act.asks or not act.deletes, act.code
