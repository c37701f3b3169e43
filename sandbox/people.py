"""Who acts on the boards: the API user whose token is given, and three people to play on the page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    email: str
    title: str
    kind: str


API_USER = Person(67210000, "NPD Sync", "npd-sync@sandbox.example", "Integration", "admin")
PEOPLE = (
    Person(67210011, "Maya Lind", "maya@sandbox.example", "Buyer", "member"),
    Person(67210012, "Tom Okafor", "tom@sandbox.example", "Account manager", "member"),
    Person(67210013, "Noor Haddad", "noor@sandbox.example", "Assistant", "member"),
)
ACCOUNT_ID = 25910000
NOBODY = 0
_BY_ID = {person.id: person for person in (API_USER, *PEOPLE)}


def person(person_id: int) -> Person:
    """The person with this id; a KeyError names ids that nobody has."""
    return _BY_ID[person_id]


def is_person(person_id: int) -> bool:
    return person_id in _BY_ID
