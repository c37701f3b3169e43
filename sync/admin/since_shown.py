"""A form of settings that takes back nobody's change: only what the person touched is written.

Unlike a record's form (`stale.py`) the page knows each field's former value by itself, in a hidden field beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Any]
else:
    _ModelForm = forms.ModelForm


class SinceShownForm(_ModelForm):
    """Keeps what is stored of untouched fields, and refuses a field that somebody else changed meanwhile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    def clean(self) -> dict[str, Any] | None:
        """Decide, field by field, between what was shown, what is stored and what came back."""
        cleaned = super().clean()
        for name in self._settings() if self.instance.pk else ():
            moved = self._moved(name)
            if name not in self.changed_data and (moved or name not in self.errors):
                self.errors.pop(name, None)
                self.cleaned_data[name] = self.initial.get(name)
            elif moved:
                self.add_error(name, ValidationError(self._words(name), code="changed_meanwhile"))
        return cleaned

    def _settings(self) -> list[str]:
        """The fields that a person sets; a formset adds keys of its own."""
        return [name for name, field in self.fields.items() if field.show_hidden_initial]

    def _moved(self, name: str) -> bool:
        """Whether the stored value is neither the one that the page had shown nor the one that came back."""
        key = self.add_initial_prefix(name)
        field, stored = self.fields[name], self.initial.get(name)
        if key not in self.data:
            return True
        shown = field.to_python(self.data.get(key))
        return field.has_changed(shown, stored) and field.has_changed(self.cleaned_data.get(name), stored)

    def _words(self, name: str) -> str:
        field, stored = self.fields[name], self.initial.get(name)
        if isinstance(field, forms.BooleanField):
            now = "on" if stored else "off"
        else:
            now = str(dict(getattr(field, "choices", ())).get(stored, stored))
        return _("It was changed meanwhile, to “%(now)s”. Open the page again, and choose anew.") % {
            "now": now
        }

    @property
    def written(self) -> list[str]:
        """The fields that a save writes; workers write the row's other columns at any moment."""
        return [name for name in self._settings() if name in self.changed_data]

    def save(self, commit: bool = True) -> Any:
        """Save what was touched."""
        if not (commit and self.instance.pk):
            return super().save(commit)
        self.instance.save(update_fields=self.written)
        return self.instance
