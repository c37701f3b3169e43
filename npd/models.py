"""NPD's domain: organizations and contacts, and their mappings to Monday's columns."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

from sync.fields.lookups import complete_phone
from sync.kernel.db import SortKey, match_key_sql
from sync.kernel.triggers import dependency_triggers
from sync.models import LongTextField, SyncedModel, track_history
from sync.registry import EntitySpec, MappingSpec
from sync.registry import register as register_entity

__all__ = ["Contact", "Organization"]

# So many are about as long as a long text may be.
MAX_ALIASES = 100


class Organization(SyncedModel):
    """A company, public body or association."""

    name = models.CharField(max_length=255)
    aliases = ArrayField(models.CharField(max_length=255), size=MAX_ALIASES, default=list, blank=True, db_default=[])
    billing_contact = models.ForeignKey(
        "npd.Contact", null=True, blank=True, on_delete=models.SET_NULL, related_name="billed_organizations"
    )
    address_street = models.CharField("street", max_length=255, blank=True, default="", db_default="")
    address_city = models.CharField("city", max_length=255, blank=True, default="", db_default="")
    address_state = models.CharField("state", max_length=255, blank=True, default="", db_default="")
    address_zip = models.CharField("zip code", max_length=255, blank=True, default="", db_default="")
    address_country = models.CharField("country", max_length=255, blank=True, default="", db_default="")
    inventory_url = models.URLField("inventory", max_length=500, blank=True, default="", db_default="")
    notes = LongTextField(blank=True, default="", db_default="")

    class Meta(SyncedModel.Meta):
        db_table = "organizations"
        triggers: ClassVar[list[Any]] = [
            *SyncedModel.Meta.triggers,
            *dependency_triggers("contact", "contacts", "organization"),
        ]
        ordering: ClassVar[list[Any]] = [SortKey("name"), "id"]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list in its order.
            models.Index(SortKey("name"), "id", name="organizations_by_name"),
            # Serve what changed last, and what changed or got its item since.
            models.Index(fields=["updated_at"], name="organizations_by_change"),
            models.Index(fields=["item_since"], name="organizations_by_item_since"),
            # Serves the match of an item without a record to a record without an item.
            models.Index(match_key_sql("name"), name="organizations_by_match_key"),
        ]
        constraints: ClassVar[list[Any]] = [
            *SyncedModel.Meta.constraints,
            models.CheckConstraint(condition=~models.Q(name=""), name="organization_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Contact(SyncedModel):
    name = models.CharField(max_length=255)
    email = models.EmailField(max_length=254, blank=True, default="", db_default="")
    organization = models.ForeignKey(
        Organization, null=True, blank=True, on_delete=models.SET_NULL, related_name="contacts"
    )
    role_title = models.CharField("role", max_length=255, blank=True, default="", db_default="")
    phone = models.CharField(max_length=64, blank=True, default="", db_default="")
    notes = LongTextField(blank=True, default="", db_default="")

    class Meta(SyncedModel.Meta):
        db_table = "contacts"
        ordering: ClassVar[list[Any]] = [SortKey("name"), "id"]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list in its order.
            models.Index(SortKey("name"), "id", name="contacts_by_name"),
            # Serve what changed last, and what changed or got its item since.
            models.Index(fields=["updated_at"], name="contacts_by_change"),
            models.Index(fields=["item_since"], name="contacts_by_item_since"),
            # Serve the match of an item without a record to a record, and to those of its name.
            models.Index(match_key_sql("email"), name="contacts_by_match_key"),
            models.Index(match_key_sql("name"), name="contacts_by_name_key"),
        ]
        constraints: ClassVar[list[Any]] = [
            *SyncedModel.Meta.constraints,
            models.CheckConstraint(condition=~models.Q(name=""), name="contact_has_a_name"),
        ]

    sync_related: ClassVar[tuple[str, ...]] = ("organization",)

    def __str__(self) -> str:
        return self.name

    def sync_region(self) -> str:
        """Return the country of the contact's organization, for phone numbers without one."""
        return self.organization.address_country if self.organization else ""

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Add the country to a phone number, or reject the number. Values from Monday don't pass through here."""
        errors: dict[str, list[ValidationError]] = {}
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as error:
            errors = error.error_dict
        if self.phone and "phone" not in (exclude or ()) and "phone" not in errors:
            try:
                self.phone = self._phone_with_country()
            except ValueError as error:
                errors["phone"] = [ValidationError(str(error), code="invalid")]
        if errors:
            raise ValidationError(errors)

    def _phone_with_country(self) -> str:
        """Return the phone number with its country; an unchanged number keeps the country that it had."""
        loaded = getattr(self, "_loaded", {})
        if loaded.get("phone") != self.phone:
            # Read the organization only if its country matters.
            country = "" if self.phone.startswith("+") else self.sync_region()
            return complete_phone(self.phone, country, self.installation_region)
        if self.phone.startswith("+") or loaded["organization_id"] == self.organization_id:
            return self.phone
        before = Organization.objects.filter(pk=loaded["organization_id"]).first()
        with suppress(ValueError):
            return complete_phone(self.phone, before.address_country if before else "", self.installation_region)
        return self.phone


# Not as decorators, because each model refers to the other.
for _model in (Organization, Contact):
    track_history(_model)


ADDRESS_FIELDS = ("address_street", "address_city", "address_state", "address_zip", "address_country")

COUNTRY = (
    "country", "country/region", "Land", "Land/Region", "Pays", "Pays/Région", "País", "País o región", "Paese", "Kraj",
    "Země", "国家",
)  # fmt: skip
# Titles that boards and other programs' files use for these fields, in English, German, French, Spanish, Dutch,
# Italian, Portuguese and Japanese, and the usual ones in Swedish, Norwegian, Danish and Polish. A title that fits two
# fields of a type is listed once. “address” is a column with several fields; “first_name” and “last_name” are parts of
# a name in files; “contact” is a person, and “country” that of a person's phone.
TITLES: Mapping[str, tuple[str, ...]] = {
    "name": (
        "display name", "organization name", "company name", "account name", "formatted name", "fn", "Anzeigename",
        "Nom", "Nombre", "Naam", "Nome", "名前", "Name (Adressattyp Unternehmen)", "business name",
        "Firmenbezeichnung", "Unternehmensname", "Organisationsname", "Jméno", "Název", "Název firmy", "Nazwa",
        "record", "Navn", "Namn", "Nimi", "Név", "Nume",
    ),
    "first_name": (
        "given name", "forename", "first", "name first", "name first name", "Vorname", "Prénom", "Voornaam", "Imię",
        "Förnamn", "Fornavn", "Etunimi", "Křestní jméno", "Keresztnév", "Vorname (Adressattyp natürl. Person)", "Имя",
        "Ad", "Rufname", "Primer nombre", "Nombre de pila", "Nombre propio", "Primo nome", "Nome di battesimo",
        "Primeiro nome", "Nome próprio", "Pierwsze imię", "Imiona", "Voornamen", "Roepnaam", "Voor",
        "Meno", "Prenume", "Ім'я", "名",
    ),
    "last_name": (
        "surname", "family name", "last", "name last", "name last name", "Nachname", "Zuname", "Familienname",
        "Nom de famille", "Apellido", "Apellidos", "Achternaam", "Cognome", "Sobrenome", "Apelido", "Nazwisko",
        "Efternamn", "Etternavn", "Efternavn", "Sukunimi", "Příjmení", "Vezetéknév",
        "Name (Adressattyp natürl. Person)", "Фамилия", "Soyad", "Primer apellido", "Último nome", "Nome de família",
        "Familienaam", "Priezvisko", "Прізвище", "姓",
    ),
    "contact": (
        "full name", "complete name", "person", "Kontakt", "Kontaktperson", "Kontaktname", "Ansprechpartner",
        "Ansprechpartnerin", "Ansprechperson", "Vollständiger Name", "Vor- und Nachname", "Vor- und Zuname",
        "Zu- und Vorname", "Nom complet", "Nombre completo", "Volledige naam", "Nome completo", "氏名",
        "Имя и фамилия", "ФИО", "姓名", "Ad Soyad", "Nominativo", "Celé jméno", "Kontaktní osoba",
    ),
    "id": ("id",),
    "email": (
        "email address", "primary email", "mail", "emails", "smtp address", "E-Mail-Adresse", "Primäre E-Mail-Adresse",
        "Mailadresse", "Courriel", "Adresse e-mail", "Adresse mail", "Adresse électronique", "E-mail professionnel",
        "Correo", "Correo electrónico", "Dirección de correo electrónico", "E-mailadres", "Indirizzo email",
        "Posta elettronica", "Email aziendale", "Endereço de email", "Correio eletrónico", "Correio eletrônico",
        "Adresse de messagerie", "E-post", "E-postadress", "Adres e-mail", "メール", "メールアドレス", "Эл. почта",
        "Электронная почта", "邮箱", "电子邮件", "E-posta", "messagerie", "Adresses e-mail",
        "E-mailová adresa", "Sähköposti", "E-mail cím", "Пошта", "Première adresse électronique",
    ),
    "organization": (
        "organisation", "company", "related company", "associated company", "account", "employer", "org", "Firma",
        "Firmenname", "Unternehmen", "Arbeitgeber", "Société", "Entreprise", "Empresa", "Compañía", "Organización",
        "Bedrijf", "Organisatie", "Azienda", "Företag", "Bedrift", "Virksomhed", "parent company", "parent_id",
        "Übergeordnetes Unternehmen", "Zugeordnetes Unternehmen", "Name der Organisation", "Nom de l'organisation",
        "Nombre de la organización", "会社", "会社名", "accounts", "Ragione sociale", "Raison sociale", "Razón social",
        "Bedrijfsnaam", "Nazwa firmy", "Компания", "Организация", "公司", "Şirket", "business name", "business", "Fa.",
        "Zugehöriges Unternehmen", "Verbundenes Unternehmen", "Unternehmensname", "Organisationsname",
        "Firmenbezeichnung", "parent customer", "Entreprise associée", "Empresa relacionada", "Azienda collegata",
        "Gerelateerd bedrijf", "Společnost", "Kunde", "Kundenname", "customer", "client", "Název firmy", "Firmy",
        "Cég", "Yritys", "Companie", "Компанія", "Organizzazione", "Società", "Organização", "組織名",
    ),
    "role_title": (
        "job title", "job position", "organization title", "job", "title", "position", "function", "Rolle", "Funktion",
        "Berufsbezeichnung", "Jobtitel", "Stellung", "Rôle", "Fonction", "Poste", "Poste occupé", "Intitulé du poste",
        "Cargo", "Puesto", "Puesto de trabajo", "Functie", "Functietitel", "Rol", "Ruolo", "Mansione", "Qualifica",
        "Posizione", "Função", "job function", "Stelle", "Titel der Organisation", "Titel in der Organisation",
        "Titre de l'organisation", "Titre1", "Stanowisko", "Befattning", "Stilling", "役職", "Должность", "职位",
        "Unvan", "Titre", "Titel", "Titolo", "Título", "organisation title", "job role", "designation",
        "Stellenbezeichnung", "Funktion im Unternehmen", "Cargo de la organización", "Functieomschrijving",
        "Posizione lavorativa", "Arbeitstitel", "Pozice", "Pracovní pozice", "Pracovní zařazení", "Funkce", "Pozícia",
        "Funkcia", "Pozycja", "Funkcja", "Rola", "Stanowisko pracy", "Zajmowane stanowisko", "Roll", "Yrkestitel",
        "Jobbtitel", "Jobbtittel", "Stillingsbetegnelse", "Stillingstittel", "Pracovná pozícia", "Stanowisko służbowe",
        "Görev", "Beosztás", "Tehtävänimike", "Посада", "Titolo organizzazione", "Título da organização",
        "Titre dans l'organisation", "Titel binnen organisatie",
    ),
    "phone": (
        "phone number", "phones", "telephone", "tel", "Telefon", "Telefonnummer", "Rufnummer", "primary phone",
        "mobile", "mobile phone", "mobile number", "mobile phone number", "phone mobile", "cell phone", "iPhone",
        "Mobil", "Mobiltelefon", "Mobil-Tel.-Nr.", "Handy", "Handynummer", "Téléphone", "Tél", "Numéro de téléphone",
        "N° de téléphone", "Portable", "Tél. portable", "Téléphone portable", "Téléphone mobile", "Teléfono",
        "Número de teléfono", "Móvil", "Teléfono móvil", "Telefoon", "Telefoonnummer", "Mobiel", "Mobiele telefoon",
        "Telefono", "Numero di telefono", "Cellulare", "Numero di cellulare", "Telefone", "Número de telefone",
        "Telemóvel", "Celular", "電話", "電話番号", "携帯電話", "business phone", "Numer telefonu", "Mobilnummer",
        "Telefonnr", "SMS", "WhatsApp", "Телефон", "电话", "手机", "cell", "cellular", "contact number", "work number",
        "office number", "home number", "landline", "direct line", "direct dial", "Mobilfunk", "Mobilfunknummer",
        "Festnetz", "Festnetznummer", "Durchwahl", "Mobielnummer", "Cellulaire", "Fixe", "Telefoonnr", "Rückrufnummer",
        "Privatnummer", "Geschäftsnummer", "callback", "Rückmeldung", "Rückruf", "Rappel", "ISDN", "DDI", "Telefonu",
        "Telefonní", "Telefónne", "Pevná linka", "Linka", "Zpětné volání", "Oddzwanianie", "Telefon kontaktowy",
        "Puhelin", "Matkapuhelin", "Telefonszám", "Abitazione",
    ),
    "notes": (
        "note", "comments", "comment", "remarks", "remark", "Notiz", "Notizen", "Bemerkung", "Bemerkungen",
        "Anmerkungen", "Kommentar", "Remarque", "Remarques", "Commentaire", "Commentaires", "Nota", "Notas",
        "Observaciones", "Comentarios", "Opmerking", "Opmerkingen", "Notitie", "Notities", "Note", "Osservazioni",
        "Commenti", "Observações", "Comentários", "メモ", "備考", "Poznámka", "Poznámky", "Uwagi", "Notatki",
        "description", "Beschreibung", "Descripción", "Descrizione", "Descrição", "Omschrijving", "Beskrivning",
        "Popis", "Opis",
    ),
    "aliases": ("alias", "other names", "also known as"),
    "billing_contact": ("billing", "invoice contact"),
    "address": ("Adresse", "Anschrift", "Dirección", "Adres", "Indirizzo", "Endereço", "住所"),
    "address_street": (
        "street", "street address", "street name", "street/road name", "address", "address line 1", "line", "Straße Nr",
        "Straße Hausnummer", "Straße Hausnr", "Straße", "Adresse", "Anschrift", "Rue", "Calle", "Dirección", "Via",
        "Indirizzo", "Straat", "Adres", "Ulica", "Rua", "Morada", "Domicilio", "Straatnaam", "Endereço", "Ulice",
        "住所", "地址",
    ),
    "address_city": (
        "city", "town", "city/town/village/locality", "Ort", "Stadt", "Ville", "Ciudad", "Città", "Plaats", "Stad",
        "Miasto", "Cidade", "Localidad", "Localidade", "Woonplaats", "Město", "Obec", "城市",
    ),
    "address_state": (
        "state", "state/region", "state/province", "state/county", "region", "province", "county", "Bundesland",
        "Région", "Provincia", "Estado", "Województwo", "state code", "province code",
    ),
    "address_zip": (
        "zip", "postal code", "postcode", "zip/postal code", "billing code", "PLZ", "Postleitzahl", "Code postal",
        "Código postal", "CAP", "Kod pocztowy", "Postnummer", "PSČ",
    ),
    "address_country": (*COUNTRY, "country code"),
    "country": COUNTRY,
    "inventory_url": (
        "inventory url", "url", "website", "website url", "web site", "web address", "homepage", "Internet", "Webseite",
        "Site web", "Page web", "Página web", "Sito web",
    ),
}  # fmt: skip

# Optional: set-up syncs these columns where a board has them, and doesn't create them.
ALIASES = MappingSpec(
    "aliases",
    "Aliases",
    ("aliases",),
    "list_text",
    "aliases",
    optional=True,
    column_types={"dropdown": "dropdown", "text": "list_text"},
)
INVENTORY_URL = MappingSpec(
    "inventory_url",
    "Inventory",
    ("inventory_url",),
    "link",
    "inventory_url",
    optional=True,
    column_types={"link": "link", "text": "text"},
)
ORGANIZATION = MappingSpec(
    "organization",
    "Organization",
    ("organization",),
    "relation",
    "organization",
    optional=True,
    column_types={"board_relation": "relation", "text": "relation_name"},
)


def register() -> None:
    register_entity(
        EntitySpec(
            model=Organization,
            board_title="Organizations",
            icon="apartment",
            match_key="name",
            titles=TITLES,
            mappings=(
                MappingSpec("name", "Name", ("name",), "name", "name", required=True),
                MappingSpec("address", "Address", ADDRESS_FIELDS, "address", "address"),
                MappingSpec("notes", "Notes", ("notes",), "long_text", "notes"),
                ALIASES,
                INVENTORY_URL,
            ),
        )
    )
    register_entity(
        EntitySpec(
            model=Contact,
            board_title="Contacts",
            icon="person",
            match_key="email",
            titles=TITLES,
            mappings=(
                MappingSpec("name", "Name", ("name",), "name", "name", required=True),
                MappingSpec("email", "Email", ("email",), "email", "email"),
                MappingSpec("phone", "Phone", ("phone",), "phone", "phone"),
                MappingSpec("role_title", "Role", ("role_title",), "text", "role_title"),
                MappingSpec("notes", "Notes", ("notes",), "long_text", "notes"),
                ORGANIZATION,
            ),
        )
    )
