"""Which field each column of a file goes to: suggested by its title, and remembered for the same titles.

A column's place holds a field's name, `id` for the NPD ID, a part of the name, or nothing.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import chain, groupby, product
from typing import Any

from django.core.cache import cache
from django.db import models
from django.utils.text import capfirst

from sync import registry
from sync.kernel import grouped
from sync.kernel.humanize import quote
from sync.models import SyncedModel
from sync.monday.text_forms import fold_title
from sync.operations.workbooks import MAX_COLUMNS
from sync.words.message import Message

NPD_ID = "NPD ID"
FIRST_NAME = "first_name"
LAST_NAME = "last_name"
NAME_PARTS = {FIRST_NAME: "First name", LAST_NAME: "Last name"}
LAST_FIRST = "last_first"  # a whole name, as “Ace, Ann”
NAME_CHOICES = NAME_PARTS | {LAST_FIRST: "Last name, first name"}
PHONE_COUNTRY = "phone_country"

REASON = "Reason"  # the last column of a file of refused rows

# Words of titles, and of the labels beside values, by what they say there, as `fold_title` makes them.
_WORDS = {
    # Which of several values it is: the kinds in the order in which they count. Mobile words are titles by themselves.
    "mobile": """mobile mobil mobiel mobiele cell cellular movil telemovel celular cellulare cellulaire iphone handy
    portable sms whatsapp gsm mobilni mobilny mobilu komorkowy komorkowa komorka kom cep
    мобильныи мобільнии matkapuhelin 携帯電話 手机""",
    "work": """work business office company main direct corporate professional voice arbeit geschaft geschafts
    geschaftl geschaftlich gesch dienst dienstl dienstlich firma firmen buro haupt zentral bureau principal pro
    professionnel professionale societe trabajo laboral comercial empresa oficina lavoro ufficio azienda werk kantoor
    hoofd zakelijk zakelijke arbets arbete arbejds arbejde jobb pracovni prace pracy praca sluzebni firemni słuzbowy
    słuzbowa firmowy firmowa zamestnani рабочии робочии uff w g""",
    "home": """home private personal privat priv zuhause domicile personnel perso maison fixe particular casa fijo
    fisso residencial thuis prive vast hem hjem domaci domu doma soukromy prywatny prywatna domowy domowa stacjonarny
    домашнии abitazione h p""",
    "other": """other secondary alternative billing mailing postal invoice shipping headquarter headquarters hq po sa
    secondaire rechnung rechnungs weiteres weitere sonstige sekundare autre otro altro car auto voiture automovil
    radio callback ruckmeldung ruckruf rappel isdn auta samochodzie zpetne volani oddzwanianie""",
    # Numbers at which nobody answers: such columns aren't known, either.
    "fax": """fax telefax faxnummer faxnr faxnumber telecopie telecopieur telex pager beeper pieper piepser bip
    cercapersone buscapersona localizador semafoon""",
    # What a column's title ends with that says of which kind another's value is: “Phone 1 - Label”.
    "label": "label type libelle etiqueta etichetta rotulo typ",
    # Nothing.
    "idle": """primary preferred pref default required optional mandatory pflichtfeld value wert valeur valor valore
    internet current of the and der die das des im u und la le les l de du et del y della di da do van het en i a och
    og s op waarde 値 your ihr ihre dein deine votre tu su tuo tua uw jouw""",
    # Nothing beside a title of a field of this kind: “Phone number”, “Nom de l'entreprise”, “City of Address”.
    "phone": "number no nummer nr numero num n numer cislo",
    "email": "address adresse adres direccion indirizzo endereco",
    "relation": "name nom nombre nome naam",
    "address": """address location adresse anschrift postanschrift direccion indirizzo endereco adres adresa""",
    # Nothing before other words in a file of people: “Customer email”.
    "person": "customer user client member subscriber kunde kunden",
    # A full name, but one part of it in a file that has a column for the other part alone.
    LAST_NAME: "name nom naam nume",
    FIRST_NAME: "nombre nombres nome nomes naam jmeno",
    # A role, but “Dr.” or “Ms” before the first name.
    "salutation": "title titel titre titolo titulo titul",
    # Nothing within a person's name.
    "name_title": """dr drs prof professor professorin dipl phd msc herr herrn hr frau mr mrs ms mme mlle madame
    monsieur sra srta señor señora dott dottssa mevr dhr""",
    # The same with a full stop or behind another title, else a name: “Dr. phil.”, but “Phil Collins”, “John Mba”.
    "title_or_name": "fr herr ing jur lic mag mba med miss nat pan pani phil rer sig",
    # Something else beside another column of their field: Outlook's “Account” beside “Company”.
    "weak": "account accounts customer client",
}
WORDS = {use: frozenset(words.split()) for use, words in _WORDS.items()}
_KINDS = ("mobile", "work", "home", "other")
KINDS = {word: order for order, kind in enumerate(_KINDS) for word in WORDS[kind]}
LAST_KIND = len(_KINDS) + 1  # of a label that names another kind
# Fields of which people have several columns: in each row the first filled one counts.
SEVERAL = ("relation", "phone", "email")

# German, Dutch and Swedish write them before another word: “Geschäftstelefon”.
_COMPOUND = re.compile(
    "(mobil|mobiel|handy|geschafts|dienst|privat|prive|firmen|buro|haupt|zentral|hoofd|rechnungs|auto|radio|arbets|arbejds|jobb|hem)"
    "(?=.{3})"
)
_KIND_PARAMETER = re.compile(";type=", re.IGNORECASE)  # of a vCard's line
_PARAMETERS = re.compile(r";\w+=.*")
_WORD = re.compile(r"iPhone|\d+|[A-Z]+(?=[A-Z][a-z])|[A-Z]*[^\W\d_A-Z]+|[A-Z]+")  # also of “PhoneWork”, “POCity”
_PLURAL = re.compile("(?<=ss)es$|(?<=[^s])s$|(?<=[er])n$")

MAX_TITLE = 100  # longer texts are no titles
MAX_WORDS = 8  # a text of more says nothing
MAX_KINDS = 3  # as “Other business mobile”
MAX_ALTERNATIVES = 3  # as “Phone/Fax”
MAX_LABELS = 1_000  # different texts beside values

REMEMBERED_SECONDS = 365 * 86_400

# Of a column without a known title, so many rows say what it is.
SAMPLED_ROWS = 200
# What a cell with nothing but an address, or a number with its country, looks like, by the converter of its field.
_FORMS = {"email": re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+"), "phone": re.compile(r"\+ ?\d[\d ()/.-]{6,20}")}


def field_label(model: type[models.Model], name: str) -> str:
    return str(capfirst(str(model._meta.get_field(name).verbose_name)))  # type: ignore[union-attr]


def field_choices(model: type[SyncedModel], labels: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what a column may go to, with the `labels` of the fields."""
    names = NAME_CHOICES.items() if has_name_parts(model) else ()
    countries = [(PHONE_COUNTRY, "Country of the phone number")] if "phone" in converters_of(model).values() else []
    return [("", "Don't import"), *names, *labels, *countries]


def converters_of(model: type[SyncedModel]) -> dict[str, str]:
    mappings = registry.entity(model.entity_type()).mappings
    return {name: mapping.converter for mapping in mappings for name in mapping.fields}


def has_name_parts(model: type[SyncedModel]) -> bool:
    """Whether records are people: their name isn't what they are matched by."""
    return registry.name_field(model) not in ("", None, registry.match_field(model))


def suggest_columns(model: type[SyncedModel], titles: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> list[str]:
    """Return each column's field: as it was chosen for these titles before, else as its title or its cells say."""
    remembered: list[str] | None = cache.get(_memory_key(model, titles))
    if remembered is not None:
        return [*remembered, ""][: len(titles)]  # a file of refused rows has one column more
    columns = known_titles(model).columns(titles)
    if not identifies_records(model, columns):
        return columns  # the titles may be in another row
    for name, converter in converters_of(model).items():
        if converter in _FORMS and name not in columns:
            places = [place for place, title in enumerate(titles) if not columns[place] and not is_fax(title)]
            if fitting := [place for place in places if _holds_only(_FORMS[converter], rows, place)]:
                columns[fitting[0]] = name
    return columns


def _holds_only(form: re.Pattern[str], rows: Sequence[Sequence[str]], place: int) -> bool:
    """Whether the filled cells of a column have this form, and each another value, unlike a record's owner."""
    cells = [cell for row in rows[:SAMPLED_ROWS] if (cell := row[place].strip())]
    return bool(cells) and len(set(cells)) == len(cells) and all(map(form.fullmatch, cells))


def key_names(model: type[SyncedModel]) -> list[str]:
    """Return the fields that identify a record in a file without NPD IDs: its match key, then its name."""
    names = (registry.match_field(model), registry.name_field(model))
    return list(dict.fromkeys(name for name in names if name))


def identifies_records(model: type[SyncedModel], columns: Sequence[str]) -> bool:
    """Whether one of the columns tells which record a row is about."""
    return not {"id", *key_names(model), *NAME_CHOICES}.isdisjoint(columns)


def missing_key_note(model: type[SyncedModel], columns: Sequence[str]) -> list[str]:
    """Return what follows if no column has the match key; nothing if one has it, or the NPD ID."""
    labels = [field_label(model, name) for name in key_names(model)]
    if not identifies_records(model, columns):
        record = str(model._meta.verbose_name)
        return [Message("no_column_tells_record", fields=", ".join(labels), record=record)]
    key = registry.match_field(model)
    if not key or key in columns or "id" in columns:
        return []
    return [Message("matched_by_name_alone", field=labels[0], records=str(model._meta.verbose_name_plural))]


def remember_columns(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> None:
    cache.set(_memory_key(model, titles), list(columns), REMEMBERED_SECONDS)


def _memory_key(model: type[SyncedModel], titles: Sequence[str]) -> str:
    own_titles = titles[:-1] if titles[-1] == REASON else titles
    return f"import-columns-{model.entity_type()}-{titles_digest(own_titles)}"


def remember_reasons(titles: Sequence[str]) -> None:
    """Remember that a file of refused rows was written, which has our reasons behind these titles."""
    cache.set(f"import-reasons-{titles_digest(titles)}", True, REMEMBERED_SECONDS)


def has_our_reasons(titles: Sequence[str]) -> bool:
    """Whether the last column has the reasons of a file of refused rows, and isn't somebody's own."""
    return titles[-1] == REASON and bool(cache.get(f"import-reasons-{titles_digest(titles[:-1])}"))


def titles_digest(titles: Sequence[str]) -> str:
    """Return what is equal for the titles of one layout, such as “Email” and “E-mail” on two sheets."""
    return sha256("\0".join(map(fold_title, titles)).encode()).hexdigest()


def places_of_fields(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of each field, the one that counts first first: mobile, then business, then home phone."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        if name:
            places.setdefault(name, []).append(place)
    for name, field_places in places.items():
        orders = {place: known_titles(model).order(titles[place], name) for place in field_places}
        field_places.sort(key=orders.__getitem__)
    return places


def label_places(titles: Sequence[str]) -> dict[int, int]:
    """Return which column says of which kind the value in another is: “Phone 1 - Label” of “Phone 1 - Value”."""
    labels = {}
    values = {}
    for place, title in enumerate(titles):
        words = title_words(title)
        if words and words[-1] in WORDS["label"]:
            labels["".join(words[:-1])] = place
        elif words:
            values[place] = "".join(words)
    return {place: labels[title] for place, title in values.items() if title in labels}


def order_notes(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return, for each field with several columns, which of them counts first."""
    notes = []
    labels = label_places(titles)
    for name, places in places_of_fields(model, titles, columns).items():
        if len(places) > 1 and name not in (*NAME_CHOICES, PHONE_COUNTRY, "id"):
            by_label = "" if labels.keys().isdisjoint(places) else ", by the kind that stands beside it,"
            ordered = ", then ".join(quote(titles[place]) for place in places)
            notes.append(f"{field_label(model, name)}: in each row the first filled one{by_label} counts: {ordered}.")
    return notes


def title_words(title: str) -> list[str]:
    """Return the words of a title that say something, as `fold_title` makes them, without most plurals."""
    text = _PARAMETERS.sub("", _KIND_PARAMETER.sub(" ", title[:MAX_TITLE]))
    words = _WORD.findall(text)
    if len(words) > MAX_WORDS:
        return []
    # CiviCRM writes “Work-Phone-Phone”.
    return [word for word, _ in groupby(chain.from_iterable(map(_folded_words, words)))]


@lru_cache(maxsize=10_000)
def _folded_words(text: str) -> list[str]:
    """Return the words in one of a title, which may be a compound."""
    folded = fold_title(text)
    words = [folded] if folded in KINDS else _COMPOUND.sub(r"\1 ", folded).split()
    return [word if word in KINDS else _PLURAL.sub("", word) for word in words if word not in WORDS["idle"]]


@lru_cache(maxsize=2 * MAX_LABELS)  # labels, and titles
def kind_order(text: str, without_kind: int = 1) -> int:
    """Return which place the kind that a text names has among others: mobile, none, business, home, other."""
    kinds = [KINDS[word] for word in title_words(text) if word in KINDS]
    if not kinds:
        return without_kind
    return 0 if 0 in kinds else 1 + max(kinds)


@lru_cache(maxsize=2 * MAX_LABELS)
def is_fax(label: str) -> bool:
    """Whether a label says of a number that nobody answers there: “Work Fax”, “Pager”."""
    return not WORDS["fax"].isdisjoint(title_words(label))


class KnownTitles:
    """The titles by which a model's fields are recognized, and the parts of a person's name."""

    def __init__(self, model: type[SyncedModel]) -> None:
        spec = registry.entity(model.entity_type())
        converters = converters_of(model)
        # Words beside the name are those beside a relation to such a record.
        self._converters = {**converters, str(spec.name_field): "relation"}
        self._converters |= {field.name: "relation" for field in registry.own_relations(model)}
        self._several = {name for name, converter in converters.items() if converter in SEVERAL}
        self._keys = {"id", spec.match_key, spec.name_field, *NAME_CHOICES}
        prefixes = [spec.entity_type, *spec.titles.get(spec.entity_type, ())]
        titles = titles_of(spec)
        if has_name_parts(model):
            prefixes += WORDS["person"]
            titles = {name: [name, *spec.titles.get(name, ())] for name in NAME_PARTS} | titles
        if "phone" in converters.values():
            titles[PHONE_COUNTRY] = list(spec.titles.get("country", ()))
            self._converters[PHONE_COUNTRY] = "address"  # of a person, whose kinds may stand beside it
        self._prefix = re.compile(rf"\s*(?:{'|'.join(map(re.escape, prefixes))})[\s_.:–-]+", re.IGNORECASE)
        self._ranks: dict[str, tuple[str, int]] = {}
        ranks = [(title, (name, rank)) for name in titles for rank, title in enumerate(titles[name])]
        for title, rank in ranks:
            self._ranks.setdefault(fold_title(title), rank)
        for title, rank in ranks:
            self._ranks.setdefault("".join(title_words(title)), rank)
        if has_name_parts(model):
            # One column for both: “Name, Vorname”, “Nome e cognome”.
            firsts = [*titles[FIRST_NAME], *WORDS[FIRST_NAME]]
            lasts = [*titles[LAST_NAME], *WORDS[LAST_NAME]]
            for parts in chain(product(firsts, lasts), product(lasts, firsts)):
                for joint in (" ", " e "):  # no idle word, because of “E-mail”
                    self._ranks.setdefault("".join(title_words(joint.join(parts))), (LAST_FIRST, 0))
        self._ranks.pop("", None)

    def columns(self, titles: Sequence[str]) -> list[str]:
        """Return the field of each title."""
        columns = [""] * len(titles)
        ranks = {place: rank for place, title in enumerate(titles) if (rank := self.rank(title))}
        for place in [place for place in ranks if fold_title(titles[place]) in WORDS["salutation"]]:
            if ranks.get(place + 1, [""])[0] == FIRST_NAME:
                del ranks[place]
        for name, places in grouped(ranks, lambda place: ranks[place][0]).items():
            # Of other fields only the best column is taken: “Title” may be “Dr.” beside “Job title”.
            strong = [place for place in places if fold_title(titles[place]) not in WORDS["weak"]] or places
            best = min(strong, key=lambda place: ranks[place][1])
            for place in strong if name in self._several else [best]:
                columns[place] = name
        parts = NAME_PARTS.keys() & columns
        for part in NAME_PARTS:
            places = [place for place in ranks if fold_title(titles[place]) in WORDS[part]]
            if places and parts == NAME_PARTS.keys() - {part}:
                columns[places[0]] = part
        return columns

    def count(self, titles: Sequence[str]) -> int:
        """Return how many of these titles are known; 0 if none of them tells which record a row is about."""
        columns = self.columns(titles[:MAX_COLUMNS])
        return 0 if self._keys.isdisjoint(columns) else len(columns) - columns.count("")

    def order(self, title: str, name: str) -> Any:
        """Return by what the columns of a field are sorted; a title that isn't the field's own comes last."""
        field, rank = self.rank(title) or ("", ())
        by_kind = self._converters.get(name) in ("phone", "email")
        return (field != name, kind_order(title) if by_kind else 0, rank)

    @lru_cache(maxsize=10_000)  # noqa: B019  # one for each model; a file's first rows are asked for several times
    def rank(self, title: str) -> Any:
        """Return the field of a title, and how well it fits, the best the least; None for an unknown title."""
        # Where titles are looked for, addresses and numbers stand, too.
        if len(title) > MAX_TITLE or "@" in title or not any(map(str.isalpha, title)):
            return None
        rank = self._rank(title)
        if not rank and (bare := self._prefix.sub("", title, count=1)) != title:
            rank = self._rank(bare)
        if rank or not 0 < title.count("/") < MAX_ALTERNATIVES:
            return rank
        ranks = [self._rank(part) or ("", ()) for part in title.split("/")]
        return ranks[0] if ranks[0][0] and len({name for name, _ in ranks}) == 1 else None

    def _rank(self, title: str) -> Any:
        """As `rank`; programs add numbers and kinds: “E-mail 2 Address”, “PhoneWork”, “Email (home)”, “TEL;type=X”."""
        if known := self._ranks.get(fold_title(title)):
            return known[0], (0, known[1], 0)
        words = title_words(title)
        number = sum(int(word) for word in words if word.isdecimal())
        texts = [word for word in words if not word.isdecimal()]
        if known := self._known(words) or self._known(texts):
            return known[0], (1, known[1], number)
        kinds = [word for word in texts if word in KINDS]
        if len(kinds) > MAX_KINDS:
            return None
        not_mobile = [word for word in kinds if KINDS[word]]  # of “Mobile (work)”
        for dropped in filter(None, (kinds, not_mobile, *([word] for word in kinds))):  # of “Billing company”
            name, rank = self._known([word for word in texts if word not in dropped]) or ("", 0)
            is_of_kinds = self._converters.get(name) == "address" or name in self._several
            # Of a billing address, the name is the person's or the company's, too.
            is_name = name in self._keys and WORDS["other"].issuperset(dropped)
            if is_of_kinds or is_name:
                orders = [KINDS[word] for word in kinds]
                last = max(orders)
                return name, (1 + (0 if 0 in orders else last), rank, number, last)
        return None

    def _known(self, words: Sequence[str]) -> tuple[str, int] | None:
        """Return the field of these words and the rank of its title, also without what may stand beside it."""
        if known := self._ranks.get("".join(words)):
            return known
        for converter in ("phone", "email", "relation", "address"):
            if WORDS[converter].isdisjoint(words):
                continue
            known = self._ranks.get("".join(word for word in words if word not in WORDS[converter]))
            if known and self._converters.get(known[0]) == converter:
                return known
        # “Default Address Company”, but neither “Company address” nor “Address (billing)”.
        is_of_address = words and words[0] in WORDS["address"] and not WORDS["other"].issuperset(words[1:])
        return known if known and is_of_address and self._converters.get(known[0]) in SEVERAL else None


@lru_cache
def known_titles(model: type[SyncedModel]) -> KnownTitles:
    return KnownTitles(model)


def titles_of(spec: registry.EntitySpec) -> dict[str, list[str]]:
    """Return the known titles of each field, the best ones first."""
    titles: dict[str, list[str]] = {"id": [NPD_ID]}
    relations = [field.name for field in registry.own_relations(spec.model)]
    own = [field.name for field in registry.own_fields(spec.model)]
    # Relations first, because “company name” in a file of people is their organization.
    for name in [*relations, *(name for name in own if name not in relations)]:
        names = [name, field_label(spec.model, name), *spec.titles.get(name, ())]
        names += [f"{title} name" for title in names] if name in relations else []
        for mapping in spec.mappings:
            if mapping.fields == (name,):
                names += [mapping.label, *(WORDS["mobile"] if mapping.converter == "phone" else ())]
        if name == spec.name_field:
            # The title of a related record in other files, such as “Firma”, is its name in a file of such records.
            names[2:2] = [spec.entity_type, *spec.titles.get(spec.entity_type, ())]
        titles[name] = names
    return titles
