"""A form that loses nothing to a change that came while it was open.

The form carries what it showed of each field. What is saved is decided field by field, from three values:
what it showed, what stands in the database now (read under the row's lock), and what came back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from sync import moments
from sync.admin import words
from sync.admin.base import may_be_key
from sync.admin.history import last_change
from sync.models import SyncedModel

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[SyncedModel]
else:
    _ModelForm = forms.ModelForm

SHOWN = "_shown"


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """Return the list as lines."""
        return "\n".join(value) if isinstance(value, (list, tuple)) else value

    def to_python(self, value: Any) -> Any:
        """Return the lines that hold something, without outer white space."""
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def run_validators(self, value: Any) -> None:
        """Check each line by itself."""
        for line in value:
            super().run_validators(line)


class StaleSafeForm(_ModelForm):
    """Writes only what the person changed; asks when someone else changed the same field meanwhile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {
            name: value for name, value in self.initial.items() if self._can_be_shown(name, value)
        }
        self.in_database = {name: self._text(name, self.initial.get(name)) for name in self.fields}
        self.touched: list[str] = []
        self.kept: set[str] = set()

    @property
    def changes_a_row(self) -> bool:
        """Whether this form changes a stored row."""
        return not self.instance._state.adding

    @property
    def shown_value(self) -> str:
        """What the form shows now, to come back with it."""
        return json.dumps(self.in_database)

    def clean(self) -> dict[str, Any] | None:
        """Decide, field by field, between what was shown, what is stored and what was typed."""
        cleaned = super().clean()
        for name, value in self.cleaned_data.items():
            self.cleaned_data[name] = normalised_lines(value)
        if self.changes_a_row:
            shown = self._shown()
            for name in self.fields:
                self._decide(name, shown)
        for name in self.fields:
            self._empty_what_cant_be_shown(name)
        return cleaned

    def _can_be_shown(self, name: str, value: Any) -> bool:
        """Whether the widget can look up what it is to show; of a relation, a text that can be a key."""
        field = self.fields.get(name)
        if not isinstance(field, forms.ModelChoiceField) or not value or isinstance(value, Model):
            return True
        return may_be_key(field.queryset.model, str(value))  # type: ignore[union-attr]

    def _empty_what_cant_be_shown(self, name: str) -> None:
        """Show the field empty, beside the error that says what was wrong with it."""
        key = self.add_prefix(name)
        if not self._can_be_shown(name, self.data.get(key)):
            self.data = self.data.copy()  # type: ignore[attr-defined]
            self.data[key] = ""  # type: ignore[index]

    def _shown(self) -> Mapping[str, str]:
        try:
            shown = json.loads(self.data.get(SHOWN, ""))
        except ValueError:
            shown = None
        if isinstance(shown, dict):
            return {str(name): str(text) for name, text in shown.items()}
        self.add_error(
            None,
            "Nothing was saved: the page didn't say which values it had shown, so newer ones could have been "
            "overwritten. Check your values below and save again.",
        )
        return {}

    def _decide(self, name: str, shown: Mapping[str, str]) -> None:
        typed, stored, was = self._typed(name), self.in_database[name], shown.get(name)
        untouched = typed is None or (was is not None and self._same(name, typed, was))
        if typed is None or untouched or self._same(name, typed, stored):
            self._keep_stored(name)
            return
        self.touched.append(name)
        moved = was is None or not self._same(name, was, stored)
        if shown and moved:
            self.add_error(
                name, ValidationError(self._changed_meanwhile(name, typed), code="changed_meanwhile")
            )

    def _keep_stored(self, name: str) -> None:
        """Leave the field as it is in the database, and show it so should the form come back."""
        self.kept.add(name)
        self.errors.pop(name, None)
        self.cleaned_data.pop(name, None)
        key, stored = self.add_prefix(name), self.in_database[name]
        data = self.data.copy()  # type: ignore[attr-defined]
        data[key] = stored
        if isinstance(self.fields[name], forms.BooleanField) and not stored:
            del data[key]
        self.data = data

    def _get_validation_exclusions(self) -> set[str]:
        """Leave out what isn't written: an old value that breaks a newer rule must not stop the others."""
        return super()._get_validation_exclusions() | self.kept  # type: ignore[misc,no-any-return]

    @property
    def changed_data(self) -> list[str]:
        """The fields that the person changed, for the admin's log."""
        return self.touched if self.changes_a_row and self.is_bound else super().changed_data

    def _typed(self, name: str) -> str | None:
        """Return what came back for a field, None when the page didn't have it."""
        widget, key = self.fields[name].widget, self.add_prefix(name)
        if widget.value_omitted_from_data(self.data, self.files, key):
            return None
        return self._text(name, widget.value_from_datadict(self.data, self.files, key))

    def _text(self, name: str, value: Any) -> str:
        """Return a value as its form field shows it; of all types, so that the three can be compared."""
        if isinstance(self.fields[name], forms.BooleanField):
            return "yes" if value else ""
        if isinstance(value, Model):
            value = value.pk
        prepared = self.fields[name].prepare_value(value)
        return "" if prepared is None else str(prepared)

    def _same(self, name: str, one: str, other: str) -> bool:
        return self._comparable(name, one) == self._comparable(name, other)

    def _comparable(self, name: str, text: str) -> str:
        """Return the text without what browsers change by themselves: line ends and outer white space."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        one_line = not isinstance(self.fields[name].widget, forms.Textarea)
        return (lines.replace("\n", "") if one_line else lines).strip()

    def _changed_meanwhile(self, name: str, typed: str) -> SafeString:
        field, stored = self.fields[name], self.in_database[name]
        change = last_change(self.instance, self._model_attname(name))
        by = (
            _(" (by %(actor)s, %(at)s)") % {"actor": change.actor, "at": moments.time_of_day(change.at)}
            if change
            else ""
        )
        return format_html(
            _("{} changed meanwhile: it is now {}{}. You typed {}. Save again to keep yours, or {}."),
            str(field.label or name).capitalize(),
            self._readable(name, stored),
            by,
            self._readable(name, typed),
            format_html(
                '<button type="button" class="npd-take" data-npd-take="{}" data-value="{}" data-label="{}">{}</button>',
                self[name].auto_id,
                stored,
                self._label(name, stored),
                _("take the new one"),
            ),
        )

    def _model_attname(self, name: str) -> str:
        return str(getattr(self.instance._meta.get_field(name), "attname", name))

    def _readable(self, name: str, text: str) -> str:
        if isinstance(self.fields[name], forms.BooleanField):
            return _("on") if text else _("off")
        return words.quoted(self._label(name, text), 200)

    def _label(self, name: str, text: str) -> str:
        """Return what a person reads for a stored key: a related record's name, the words of a choice."""
        field = self.fields[name]
        if isinstance(field, forms.ModelChoiceField):
            try:
                return str(field.to_python(text) or "")
            except ValidationError:
                return text
        if isinstance(field, forms.ChoiceField):
            return str(dict(field.choices).get(text, text))  # type: ignore[arg-type]
        return text


def normalised_lines(value: Any) -> Any:
    """Return a text with \\n as its line ends; browsers send \\r\\n."""
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value
