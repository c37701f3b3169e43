"""Resolvers of what belongs to the account: users, teams, tags."""

from typing import Any

from sandbox import errors
from sandbox.graph.common import Resolver, context_of, number, part, resolvers
from sandbox.graph.context import Context
from sandbox.model import Tag
from sandbox.people import ACCOUNT_ID, TEAMS, USERS, Person, Team, person

USERS_LIMIT = 1_000  # since 2026-07
USERS_FIRST_LIMIT = 200
# What `user_kind` of 2026-07 calls whom `User.kind` calls admin, member and guest.
KINDS = {"admin": "ADMIN", "member": "MEMBER", "guest": "GUEST"}
# What a profile may say and none here does.
UNSAID = ("birthday", "country_code", "location", "mobile_phone", "phone")


def users(_: Any, info: Any, **wanted: Any) -> list[Person]:
    """Users by ids, addresses, name and kind; everyone here is active."""
    if (wanted.get("limit") or 0) > USERS_LIMIT:
        raise errors.invalid_argument(f"users takes a limit of at most {USERS_LIMIT}")
    found = [one for one in USERS if _meant(one, wanted)]
    if wanted.get("newest_first"):
        found.reverse()
    for order in wanted.get("sort") or []:  # by the time of creation, as ids go
        found.sort(key=lambda one: one.id, reverse=order["direction"] == "DESC")
    return part(found, wanted | {"limit": wanted.get("limit") or USERS_FIRST_LIMIT})


def _meant(one: Person, wanted: dict[str, Any]) -> bool:
    ids, emails, name = wanted.get("ids"), wanted.get("emails"), wanted.get("name")
    kinds, statuses = wanted.get("user_kind") or {}, wanted.get("status")
    kind = KINDS[one.kind]
    return (
        (ids is None or str(one.id) in ids)
        and (emails is None or one.email.casefold() in {email.casefold() for email in emails})
        and (name is None or name.casefold() in one.name.casefold())
        and not wanted.get("non_active")
        and (statuses is None or "ACTIVE" in statuses)
        and (kinds.get("in") is None or kind in kinds["in"])
        and kind not in (kinds.get("not_in") or ())
        and _of_kind(one, wanted.get("kind"))
    )


def _of_kind(one: Person, kind: str | None) -> bool:
    if kind in (None, "all", "non_pending"):
        return True
    return (one.kind == "guest") == (kind == "guests")


def teams(_: Any, info: Any, ids: list[str] | None = None) -> list[Team]:
    return [team for team in TEAMS if ids is None or str(team.id) in ids]


def user_teams(user: Person, info: Any, ids: list[str] | None = None) -> list[Team]:
    return [team for team in teams(None, info, ids) if user.id in team.member_ids]


def team_users(team: Team, info: Any, **wanted: Any) -> list[Person]:
    members = [one for one in (person(i) for i in team.member_ids) if _meant(one, wanted)]
    return part(members, wanted | {"limit": wanted.get("limit") or USERS_FIRST_LIMIT})


def tags(_: Any, info: Any, ids: list[str] | None = None) -> list[Tag]:
    """The account's public tags, which all tags here are."""
    known = context_of(info).world.tags
    return list(known.values()) if ids is None else _known(known, ids)


def value_tags(value: dict[str, Any], info: Any) -> list[Tag]:
    """The tags of a TagsValue."""
    return _known(context_of(info).world.tags, value["tag_ids"])


def _known(known: dict[int, Tag], ids: list[Any]) -> list[Tag]:
    return [known[one] for one in dict.fromkeys(number(i) for i in ids) if one in known]


def create_or_get_tag(context: Context, tag_name: str | None = None, board_id: str | None = None) -> Tag:
    world = context.world
    if not tag_name or not tag_name.strip():
        raise errors.invalid_argument("tag_name must not be empty")
    if board_id is not None:
        world.active_board(number(board_id))
    with world.transaction():
        return world.tags[world.names.tag_called(tag_name)]


QUERY: dict[str, Resolver] = {"users": users, "teams": teams, "tags": tags}
# Fields that 2026-10 removed; everyone here is active and has no picture.
OLD_USER: dict[str, Resolver] = {
    "enabled": lambda user, info: True,
    "is_admin": lambda user, info: user.kind == "admin",
    "is_guest": lambda user, info: user.kind == "guest",
    "is_pending": lambda user, info: False,
    "is_verified": lambda user, info: True,
    "is_view_only": lambda user, info: False,
    **dict.fromkeys(("join_date", "photo_original", "photo_small"), lambda user, info: None),
    **dict.fromkeys(("photo_thumb", "photo_thumb_small", "photo_tiny"), lambda user, info: None),
}
USER: dict[str, Resolver] = {
    "account_id": lambda user, info: ACCOUNT_ID,
    "utc_hours_diff": lambda user, info: 0.0,
    **dict.fromkeys(UNSAID, lambda user, info: None),
    "created_at": lambda user, info: "2026-01-05T09:00:00Z",
    "is_deleted": lambda user, info: False,
    "status": lambda user, info: "ACTIVE",
    "teams": user_teams,
    "time_zone_identifier": lambda user, info: "Etc/UTC",
    "url": lambda user, info: f"{context_of(info).world.site_url}/users/{user.id}",
}
TEAM: dict[str, Resolver] = {
    "is_guest": lambda team, info: False,
    "owners": lambda team, info, ids=None: [],
    "picture_url": lambda team, info: None,
    "users": team_users,
}
TAGS_VALUE: dict[str, Resolver] = {"tags": value_tags}
MUTATION = resolvers(create_or_get_tag)
