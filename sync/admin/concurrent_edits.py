"""Forms that don't overwrite what somebody else has changed meanwhile, and form fields for them.

The form carries the values that it showed. Saving compares, field by field, the shown value, the stored value (read
under the row's lock), and the submitted value, each as the text that the form field shows.
"""

import json
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms.widgets import DateTimeBaseInput
from django.utils.html import format_html

from sync import addresses, registry
from sync.admin.admin_base import is_valid_key, parse_json
from sync.kernel import humanize
from sync.kernel.db import match_key_sql
from sync.models import SyncedModel
from sync.monday import text_forms
from sync.records import authors

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Any]
else:
    _ModelForm = forms.ModelForm

SHOWN_KEY = "_shown"  # of the hidden input with the values that the form showed
ANYWAY_KEY = "_anyway"  # of the checkbox by which a person saves a text that another record has


class EmailAddressField(forms.EmailField):
    """Takes an address in any form in which browsers and people write it."""

    def to_python(self, value: Any) -> Any:
        return text_forms.email_address(str(value or ""))


class WebAddressField(forms.URLField):
    """Drops invisible characters of pasted text before the check."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(text_forms.drop_invisible_but_joiners(value) if isinstance(value, str) else value)


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, (list, tuple)) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def run_validators(self, value: Any) -> None:
        for line in value:
            super().run_validators(line)


class ConcurrentForm(_ModelForm):
    """Writes only the fields that the person changed; an error asks if somebody else changed the same field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Typed values go onto a copy, because a page with errors still shows the stored record.
        if self.is_bound:
            self.instance = copy(self.instance)
        self.initial = {name: value for name, value in self.initial.items() if self._can_be_shown(name, value)}
        self.stored_texts = {name: self._text(name, self.initial.get(name)) for name in self.fields}
        self.changed_names: list[str] = []
        self.unchanged_names: set[str] = set()

    @property
    def changes_a_row(self) -> bool:
        return not self.instance._state.adding

    @property
    def shown_json(self) -> str:
        return json.dumps(self.stored_texts)

    @cached_property
    def edits(self) -> dict[str, str]:
        """By whom and when each field was last changed, as far as that is known: "by Ann, in the admin, …"."""
        if not isinstance(self.instance, SyncedModel):
            setting_edits = authors.setting_edits(self.instance)
            labels = {name: str(self[name].label) for name in self.fields}
            return {name: f"by {setting_edits[label]}" for name, label in labels.items() if label in setting_edits}
        edits = authors.last_edits(self.instance, self.fields)
        return {name: f"by {edit}" for name, edit in edits.items()}

    @property
    def edits_json(self) -> str:
        return json.dumps(self.edits)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        for name, value in self.cleaned_data.items():
            self.cleaned_data[name] = text_forms.unix_lines(value) if isinstance(value, str) else value
        if self.changes_a_row:
            shown_values = parse_json(self.data.get(SHOWN_KEY, ""))
            if not isinstance(shown_values, dict):
                shown_values = {}
                self.add_error(
                    None,
                    "Nothing was saved: the page didn't say which values it had shown, so newer ones could have been "
                    "overwritten. Check your values below and save again.",
                )
            shown_texts = {str(name): str(text) for name, text in shown_values.items()}
            for name in self.fields:
                self._merge_field(name, shown_texts)
        if isinstance(self.instance, SyncedModel):
            self._ask_about_same_key(type(self.instance))
        for name in self.fields:
            # A value that can't be shown again is emptied; its error says what was wrong.
            key = self.add_prefix(name)
            if not self._can_be_shown(name, self.data.get(key)):
                self.data = self.data.copy()  # type: ignore[attr-defined]
                self.data[key] = ""  # type: ignore[index]
        return cleaned

    def _ask_about_same_key(self, model: type[SyncedModel]) -> None:
        """Ask once if another record has the text by which records and items are matched, such as the email."""
        name = registry.match_field(model) or ""
        key = text_forms.match_key(self.cleaned_data.get(name))
        if not key or name not in self.changed_data or self.data.get(ANYWAY_KEY) == key:
            return
        keyed = model.objects.exclude(pk=self.instance.pk).annotate(same_key=match_key_sql(name))
        record = keyed.filter(same_key__in=text_forms.key_spellings([key])).first()
        if record is None:
            return
        message = format_html(
            'This {} is already <a class="npd-take" href="{}" target="_blank">{}’s</a>. '
            '<label><input type="checkbox" name="{}" value="{}"> {} anyway</label>',
            str(self.fields[name].label or name).lower(),
            addresses.record_url(model.entity_type(), record.pk),
            record,
            ANYWAY_KEY,
            key,
            "Save" if self.changes_a_row else "Add",
        )
        self.add_error(name, ValidationError(message, code="same_key"))

    def _can_be_shown(self, name: str, value: Any) -> bool:
        """Whether the field's widget can show a value; for a relation, whether it can be a key."""
        field = self.fields.get(name)
        if not isinstance(field, forms.ModelChoiceField) or not value or isinstance(value, Model):
            return True
        return is_valid_key(field.queryset.model, str(value))  # type: ignore[union-attr]

    def _merge_field(self, name: str, shown_texts: Mapping[str, str]) -> None:
        """Leave a field that the person didn't change as it is stored; ask if somebody else changed the same field."""
        widget = self.fields[name].widget
        key = self.add_prefix(name)
        stored = self.stored_texts[name]
        submitted = stored  # a field that the page didn't have was not emptied
        if not widget.value_omitted_from_data(self.data, self.files, key):
            submitted = self._text(name, widget.value_from_datadict(self.data, self.files, key))
        shown = shown_texts.get(name)
        if self._is_same(name, submitted, stored) or (shown is not None and self._is_same(name, submitted, shown)):
            # It stays unchanged, also in the form if that is shown again.
            self.unchanged_names.add(name)
            self.errors.pop(name, None)
            self.cleaned_data.pop(name, None)
            data = self.data.copy()  # type: ignore[attr-defined]
            data[key] = stored
            if isinstance(self.fields[name], forms.BooleanField) and not stored:
                del data[key]
            self.data = data
            return
        self.changed_names.append(name)
        if not shown_texts or (shown is not None and self._is_same(name, shown, stored)):
            return  # `clean` has asked about the whole form, or nobody else changed it
        button = format_html(
            '<button type="button" class="npd-take" data-npd-take="{}" data-value="{}" data-label="{}">'
            "take the new one</button>",
            self[name].auto_id,
            stored,
            self.words_of(name, stored),
        )
        message = format_html(
            "{} changed meanwhile {}: it is now {}. You typed {}. Save again to keep yours, or {}.",
            str(self.fields[name].label or name).capitalize(),
            self.edits.get(name, "by somebody"),
            self._quoted(name, stored),
            self._quoted(name, submitted),
            button,
        )
        self.add_error(name, ValidationError(message, code="changed_meanwhile"))

    def _get_validation_exclusions(self) -> set[str]:
        """Don't validate unchanged fields, because an old value may break a newer rule."""
        return super()._get_validation_exclusions() | self.unchanged_names  # type: ignore[misc,no-any-return]

    @property
    def changed_data(self) -> list[str]:
        return self.changed_names if self.changes_a_row and self.is_bound else super().changed_data

    def _text(self, name: str, value: Any) -> str:
        """Return a value as the form field shows it, so that values can be compared."""
        if isinstance(self.fields[name], forms.BooleanField):
            return "yes" if value else ""
        if isinstance(value, Model):
            value = value.pk
        field = self.fields[name]
        prepared = field.prepare_value(value)
        if isinstance(field.widget, DateTimeBaseInput):  # shows no microseconds
            prepared = field.widget.format_value(prepared)
        return "" if prepared is None else str(prepared)

    def _is_same(self, name: str, text: str, other: str) -> bool:
        return self._comparable(name, text) == self._comparable(name, other)

    def _comparable(self, name: str, text: str) -> str:
        """Return the text without what browsers change: line ends, outer white space, the form of an email's domain."""
        field = self.fields[name]
        lines = text_forms.email_address(text) if isinstance(field, EmailAddressField) else text_forms.unix_lines(text)
        one_line = not isinstance(field.widget, forms.Textarea)
        return (lines.replace("\n", "") if one_line else lines).strip()

    def _quoted(self, name: str, text: str) -> str:
        words = self.words_of(name, text)
        return words if isinstance(self.fields[name], forms.BooleanField) else humanize.quote(words, 200)

    def words_of(self, name: str, text: str) -> str:
        """Return the displayed value: a related record's name, or a choice's label."""
        field = self.fields[name]
        if isinstance(field, forms.BooleanField):
            return "on" if text else "off"
        if isinstance(field, forms.ModelChoiceField):
            try:
                return str(field.to_python(text) or "")
            except ValidationError:
                return text
        if isinstance(field, forms.ChoiceField):
            return str(dict(field.choices).get(text, text))  # type: ignore[arg-type]
        return text
