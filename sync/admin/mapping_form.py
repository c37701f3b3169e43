"""Which column a field has, its direction and its rule, on the board's page.

A rule is written at once: it decides only what comes. Another column or direction moves values, so it is only asked
for here (`planned`), and goes through the wizard's plan. A field whose column is gone is mended at once, by `remap`:
nothing flows there now, and nothing that flows is changed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from sync.admin.since_shown import SinceShownForm
from sync.choices import Rule
from sync.models import FieldMapping
from sync.remapping import CannotRemap, choices, remap
from sync.rules import rules_for


class MappingForm(SinceShownForm):
    """A mapping's way, rule and column.

    `remapped` says in words what another column led to; `refused` why it could not be had after all; `planned` is
    what a person asked for that is written by no save.
    """

    remapped = ""
    refused = ""

    class Meta:
        model = FieldMapping
        fields = ("column_id",)
        labels: ClassVar[dict[str, str | Promise]] = {"column_id": gettext_lazy("Column")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "rule" in self.fields and self.instance.pk:
            offered = {str(rule) for rule in rules_for(self.instance)} | {self.instance.rule}
            rule: Any = self.fields["rule"]
            rule.choices = [(value, label) for value, label in rule.choices if value in offered]
        if "column_id" in self.fields and self.instance.pk:
            found = choices(self.instance)
            self.fields["column_id"] = forms.ChoiceField(
                choices=found,
                label=_("Column"),
                required=False,
                disabled=len(found) == 1,
                show_hidden_initial=True,
                widget=UnfoldAdminSelectWidget(
                    attrs={"aria-label": (_("Column of %(label)s") % {"label": self.instance.label})},
                    choices=found,
                ),
            )

    def clean_rule(self) -> str:
        """Refuse a rule that the field can't follow, in words."""
        rule = str(self.cleaned_data["rule"])
        if rule not in {str(allowed) for allowed in rules_for(self.instance)}:
            raise forms.ValidationError(
                f"“{Rule(rule).label}” is for lists; {self.instance.label} holds one value. Choose another rule."
            )
        return rule

    @property
    def planned(self) -> dict[str, str]:
        """The column and direction that were chosen anew, of a field that flows."""
        if self.instance.problem or not self.is_bound:
            return {}
        touched = set(super().written)
        names = ("column_id", "direction")
        return {name: str(self.cleaned_data[name]) for name in names if name in touched}

    @property
    def written(self) -> list[str]:
        """All that was touched but the column, which `remap` writes, and what is planned."""
        left = {"column_id", *self.planned}
        return [name for name in super().written if name not in left]

    def save(self, commit: bool = True) -> Any:
        """Save what a person chose; another column by `remap`, for it is more than a name."""
        chosen, present = self.cleaned_data.get("column_id"), self.initial.get("column_id")
        if chosen is None or chosen == present or not commit or self.planned:
            return super().save(commit)
        self.instance.column_id = present
        saved = super().save(commit)
        try:
            self.remapped = remap(self.instance.pk, chosen)
        except CannotRemap as why:
            # Another field of the same page may have taken the column.
            self.refused = _("%(label)s has kept its column. %(why)s") % {
                "label": self.instance.label,
                "why": why,
            }
        return saved
