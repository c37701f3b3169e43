"""Which column a field has: a choice among those that the board showed last, carried out by `remap`."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from sync.admin.since_shown import SinceShownForm
from sync.choices import Rule
from sync.models import FieldMapping
from sync.remapping import CannotRemap, choices, remap
from sync.rules import rules_for


class MappingForm(SinceShownForm):
    """A mapping's way, rule and column.

    `remapped` says in words what another column led to; `refused` why it could not be had after all.
    """

    remapped = ""
    refused = ""

    class Meta:
        model = FieldMapping
        fields = ("column_id",)
        labels: ClassVar[dict[str, str]] = {"column_id": "Column"}

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
                label="Column",
                required=False,
                disabled=len(found) == 1,
                show_hidden_initial=True,
                widget=UnfoldAdminSelectWidget(
                    attrs={"aria-label": f"Column of {self.instance.label}"}, choices=found
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
    def written(self) -> list[str]:
        """All that was touched but the column, which `remap` writes."""
        return [name for name in super().written if name != "column_id"]

    def save(self, commit: bool = True) -> Any:
        """Save what a person chose; another column by `remap`, for it is more than a name."""
        chosen, present = self.cleaned_data.get("column_id"), self.initial.get("column_id")
        if chosen is None or chosen == present or not commit:
            return super().save(commit)
        self.instance.column_id = present
        saved = super().save(commit)
        try:
            self.remapped = remap(self.instance.pk, chosen)
        except CannotRemap as why:
            # Another field of the same page may have taken the column.
            self.refused = f"{self.instance.label} has kept its column. {why}"
        return saved
