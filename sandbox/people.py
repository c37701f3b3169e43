"""Who acts on the boards: the API user whose token is given, people to play on the page, and automations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    email: str
    title: str
    kind: str


@dataclass(frozen=True)
class Team:
    """Some people under one name; a people column can hold it."""

    id: int
    name: str
    member_ids: tuple[int, ...]


API_USER = Person(67210000, "NPD Sync", "npd-sync@sandbox.example", "Integration", "admin")
PEOPLE = (
    Person(67210011, "Maya Lind", "maya@sandbox.example", "Buyer", "member"),
    Person(67210012, "Tom Okafor", "tom@sandbox.example", "Account manager", "member"),
    Person(67210013, "Noor Haddad", "noor@sandbox.example", "Assistant", "member"),
)
GUEST = Person(67210014, "Ines Duarte", "ines@partner.example", "Partner", "guest")
USERS = (API_USER, *PEOPLE, GUEST)
TEAMS = (Team(1180001, "Sales", (67210011, 67210012)), Team(1180002, "Office", (67210013,)))
# Monday's own automations act as this user, in activity logs and webhooks; it is nobody in `users`.
AUTOMATIONS = Person(-4, "Automations", "", "", "automation")
ACCOUNT_ID = 25910000
NOBODY = 0
_BY_ID = {person.id: person for person in (*USERS, AUTOMATIONS)}
_USER_IDS = frozenset(person.id for person in USERS)


def person(person_id: int) -> Person:
    """The person with this id; a KeyError names ids that nobody has."""
    return _BY_ID[person_id]


def is_person(person_id: int) -> bool:
    """Whether this id can act here: a user's, or the automations'."""
    return person_id in _BY_ID


def is_user(person_id: int) -> bool:
    """Whether this id is a user's, whom `users` lists and a people column takes."""
    return person_id in _USER_IDS
