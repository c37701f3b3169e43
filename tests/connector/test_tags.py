"""Tags that are made before they are chosen: each has its id, or the error of the first that has none is raised."""

import pytest

from sync.connectors.base import errors
from sync.connectors.monday.graphql import Answer, translate_error
from sync.connectors.monday.items import create_tags_mutation, parse_tags
from tests.connector.bodies import failed


def test_names_travel_as_variables_and_a_text_depends_on_their_number_alone() -> None:
    one, other = create_tags_mutation(["VIP", 'a "b"'], "7"), create_tags_mutation(["x", "y"], "7")
    assert one.text == other.text
    assert one.variables == {"board": "7", "name_0": "VIP", "name_1": 'a "b"'}


def test_a_tag_that_was_refused_is_raised_as_its_own_error() -> None:
    failure = translate_error(failed("no permission", "UserUnauthorizedException", ["t1"]))
    answer = Answer(data={"t0": {"id": "3", "name": "VIP"}, "t1": None}, errors=(failure,))
    with pytest.raises(type(failure), match="permission"):
        parse_tags(answer, ["VIP", "Old"])


def test_a_tag_that_wasn_t_answered_isn_t_taken_for_made() -> None:
    with pytest.raises(errors.UnreadableAnswer):
        parse_tags(Answer(data={"t0": {"name": "VIP"}}), ["VIP"])
