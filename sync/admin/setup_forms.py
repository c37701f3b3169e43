"""The forms of the set-up: boards, fields, and the conditions of the filter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

from django import forms
from django.contrib.postgres.fields import ArrayField

from sync import registry
from sync.choices import Rule, SyncDirection
from sync.fields import field_values, lookups
from sync.fields.sync_filter import (
    GROUP_LABEL,
    MAX_CONDITIONS,
    MAX_VALUES,
    FilterCondition,
    FilterOp,
    FilterSide,
    SyncFilter,
)
from sync.models import SyncedModel
from sync.monday.board_items import GROUP, NAME_COLUMN, BoardSummary
from sync.monday.columns import make_converter, selectable_labels
from sync.monday.conversion import ListConverter, UnknownValue
from sync.operations.setup import selection
from sync.operations.setup.future_board import planned_board
from sync.words.message import reason_of

# Separates the values that a person types; doubled, it is part of a value.
SEPARATOR = ";"

_FILLED_OPS = (FilterOp.FILLED, FilterOp.EMPTY)


def rules_for(model: type[SyncedModel], mapping: registry.MappingSpec) -> list[Rule]:
    """Return the rules that a person may choose for this field, in order; only lists can be united."""
    converter = make_converter(mapping.converter)
    # If its values may be single texts, NPD's side is a list only if every mapped field is an array.
    are_arrays = all(isinstance(model._meta.get_field(name), ArrayField) for name in mapping.fields)
    is_list = isinstance(converter, ListConverter) and (are_arrays or not converter.takes_single_text)
    return [rule for rule in Rule if is_list or rule is not Rule.UNION]


class BoardsForm(forms.Form):
    """The board of each type of records; `previous` has the choices that the session holds."""

    def __init__(self, boards: Sequence[BoardSummary], previous: Mapping[str, selection.Choices], data: Any) -> None:
        super().__init__(data, label_suffix="")
        for spec in registry.entities():
            link = lookups.link_of(spec.entity_type)
            stored = link.board_id if link is not None else ""
            configured = registry.configured_board_id(spec.entity_type)
            if spec.entity_type in previous:
                board_id = previous[spec.entity_type].board_id or selection.NEW_BOARD
            elif previous:  # the person has left this type out
                board_id = selection.NO_BOARD
            else:
                titled = [board.id for board in boards if board.name.strip().casefold() == spec.board_title.casefold()]
                board_id = stored or configured or next(iter(titled), selection.NEW_BOARD)
            labels = {board.id: f"{board.name} ({board.id})" for board in boards}
            # Monday may not list the stored or the configured board.
            labels = {other: f"board {other}" for other in (board_id, configured) if other not in labels} | labels
            labels[selection.NEW_BOARD] = f"Make a new board “{spec.board_title}”"
            labels[selection.NO_BOARD] = "Leave it as it is" if stored else "Don't set it up now"
            self.fields[spec.entity_type] = forms.ChoiceField(
                label=f"Board of {spec.board_title}",
                choices=labels.items(),
                initial=board_id,
                required=False,
                help_text="Your administrator has set the board on the server." if configured else "",
            )


class FieldForm(forms.Form):
    """The column, direction and rule of one field."""

    column = forms.ChoiceField(required=False)
    direction = forms.ChoiceField(choices=SyncDirection.choices)
    rule = forms.ChoiceField()

    def __init__(self, chosen: selection.ChosenBoard, mapping: registry.MappingSpec, data: Any) -> None:
        choice = chosen.choices.choice_of(mapping)
        super().__init__(data, initial=asdict(choice), prefix=mapping.key)
        self.mapping = mapping
        self.is_match_key = mapping.key == chosen.spec.match_key
        self.is_synced = choice.is_synced
        self.lacks_target = chosen.lacks_target(mapping)
        rules = rules_for(chosen.spec.model, mapping)
        self.fields["rule"].choices = [(rule.value, rule.label) for rule in rules]  # type: ignore[attr-defined]
        new = f"Create a column “{mapping.label}” ({selection.type_words(mapping.new_column_type)})"
        fitting = [
            (column.id, f"{column.title} ({selection.type_words(column.type)})")
            for column in chosen.columns.values()
            if column.id != chosen.npd_id_column and not chosen.unfit_reason(mapping, column)
        ]
        columns = [("", "No column: not synced"), (selection.NEW_COLUMN, new), *fitting]
        self.fields["column"].choices = columns  # type: ignore[attr-defined]
        for name in self.fields:
            self.fields[name].widget.attrs["aria-label"] = f"{name.capitalize()} of {mapping.label}"
        self.fields["direction"].widget.attrs["data-column"] = self["column"].id_for_label
        if mapping.is_name:
            del self.fields["column"]

    @property
    def choice(self) -> selection.FieldChoice:
        # The record's name has no choice of a column: it is always the item's name.
        return selection.FieldChoice(**{"column": NAME_COLUMN} | self.cleaned_data)


class FieldsForm(forms.Form):
    """A form for each field of one type (`rows`), what becomes of new values, and the filter (`sides`)."""

    creates_records = forms.BooleanField(label="Create records from items that NPD doesn't have", required=False)
    first_match = forms.ChoiceField(
        label="If a record and its item differ when they are first linked",
        choices=[(rule.value, rule.label) for rule in selection.FIRST_MATCH_RULES],
    )

    def __init__(self, chosen: selection.ChosenBoard, data: Any = None) -> None:
        choices = chosen.choices
        initial = {"creates_records": choices.creates_records, "first_match": choices.first_match}
        super().__init__(data, initial=initial, label_suffix="")
        self.chosen = chosen
        self.rows = [FieldForm(chosen, mapping, data) for mapping in chosen.spec.mappings]
        self.sides = [FilteredSide(chosen, side, data) for side in FilterSide]

    def clean(self) -> dict[str, Any]:
        """Check the choices together, and put them into `chosen`."""
        if self.errors or not all(row.is_valid() for row in self.rows):
            raise forms.ValidationError("Check the fields marked below.")
        fields = {row.mapping.key: row.choice for row in self.rows}
        choices = replace(self.chosen.choices, fields=fields, is_mapped=True, **self.cleaned_data)
        chosen = replace(self.chosen, choices=choices)
        problems = chosen.problems()
        for row in self.rows:
            for sentence in problems.get(row.mapping.key, ()):
                row.add_error(None, sentence)
        if problems:
            raise forms.ValidationError("Check the fields marked below.")
        # Conditions are about the fields as they are mapped now.
        self.sides = [FilteredSide(chosen, side, self.data) for side in FilterSide]
        if not all(side.forms.is_valid() for side in self.sides):
            raise forms.ValidationError("Check the conditions marked below.")
        sync_filter = SyncFilter(*(side.conditions for side in self.sides)).to_json()
        self.chosen = replace(chosen, choices=replace(choices, sync_filter=sync_filter))
        return self.cleaned_data


class FilteredSide:
    """One side of the filter: the fields that conditions may be about, how they are compared, and with which values."""

    titles: ClassVar = {FilterSide.RECORD: "Records in NPD", FilterSide.ITEM: "Items on Monday"}

    def __init__(self, chosen: selection.ChosenBoard, side: FilterSide, data: Any = None) -> None:
        self.side = side
        self.title = self.titles[side]
        self.board = planned_board(chosen)
        self.columns = chosen.columns
        self.mappings = {
            mapping.key: mapping
            for mapping in self.board.mappings
            # A new column is empty in every item.
            if side is FilterSide.RECORD or not mapping.column_id.startswith(selection.NEW_COLUMN)
        }
        self.groups = chosen.board.groups if chosen.board is not None and side is FilterSide.ITEM else {}
        sync_filter = self.board.sync_filter
        conditions = sync_filter.records if side is FilterSide.RECORD else sync_filter.items
        initial = [
            {"field": condition.field, "op": condition.op, "text": text_of_values(condition.labels)}
            for condition in conditions
        ]
        # With data, a form that equals its initial values would count as empty.
        self.forms = ConditionFormSet(
            data, initial=None if data else initial, prefix=side, form_kwargs={"filtered_side": self}
        )

    @property
    def conditions(self) -> tuple[FilterCondition, ...]:
        """The conditions of the valid forms."""
        return tuple(form.condition for form in self.forms if form.condition)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the fields, by key."""
        labels = {key: mapping.label for key, mapping in self.mappings.items()}
        return labels | ({GROUP: GROUP_LABEL} if self.groups else {})

    def offered_values(self) -> dict[str, list[str]]:
        """Return the values that a page offers for each field, as a person types them."""
        values = {GROUP: list(dict.fromkeys(self.groups.values()))}
        for key, mapping in self.mappings.items():
            column = self.columns.get(mapping.column_id)
            labels = selectable_labels(column.type, column.settings) if column is not None else None
            values[key] = list(field_values.choice_labels(self.board.model, mapping.fields)) or sorted(labels or ())
        return {key: [text_of_values([value]) for value in texts] for key, texts in values.items() if texts}

    def allowed_ops(self, key: str) -> Sequence[FilterOp]:
        """Return how a field can be compared."""
        if key == GROUP:
            return (FilterOp.IS, FilterOp.IS_NOT)
        mapping = self.mappings[key]
        if self.side is FilterSide.ITEM and self.board.converter(mapping).names_items:
            return _FILLED_OPS
        if registry.relation_of(self.board.model, mapping.fields) is not None:
            return (FilterOp.IS, FilterOp.IS_NOT, *_FILLED_OPS)
        if len(mapping.fields) > 1:
            return (FilterOp.CONTAINS, *_FILLED_OPS)
        return tuple(FilterOp)

    def parse_condition(self, key: str, op: FilterOp, texts: Sequence[str]) -> FilterCondition:
        """Return the condition; raises ValueError or UnknownValue if the field can't have one of the values."""
        if key == GROUP:
            titles = {title.casefold() for title in self.groups.values()}
            if unknown := [text for text in texts if text.casefold() not in titles]:
                offered = ", ".join(self.groups.values())
                raise ValueError(f"The board has no group “{unknown[0]}”. Choose one of its groups: {offered}.")
            # A title stands for all groups that have it.
            chosen = {text.casefold() for text in texts}
            ids = [group for group, title in self.groups.items() if title.casefold() in chosen]
            return FilterCondition(key, op, tuple(ids), tuple(texts))
        mapping = self.mappings[key]
        if op in (FilterOp.IS, FilterOp.IS_NOT) and registry.relation_of(self.board.model, mapping.fields) is None:
            converter = self.board.converter(mapping)
            empty = field_values.local_values(self.board.model(), mapping)
            for text in texts:  # raises if the field can't have it
                converter.canonical_local(converter.from_text(text, empty))
        return FilterCondition(key, op, tuple(texts), tuple(texts))


class ConditionForm(forms.Form):
    """A condition of the filter; a form without a field is ignored."""

    field = forms.ChoiceField(
        label="Field",
        required=False,
        error_messages={"invalid_choice": "This field isn't synced. Choose a column for it, or remove the condition."},
    )
    op = forms.ChoiceField(label="Comparison", choices=FilterOp.choices, initial=FilterOp.IS)
    text = forms.CharField(label="Value", required=False, max_length=20_000)

    def __init__(self, *args: Any, filtered_side: FilteredSide, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.filtered_side = filtered_side
        self.fields["field"].choices = [("", "No condition"), *filtered_side.labels.items()]  # type: ignore[attr-defined]
        self.fields["field"].widget.attrs = {
            "data-lists": f"npd-filter-{filtered_side.side}-values-",
            "data-text": self["text"].id_for_label,
            "data-op": self["op"].id_for_label,
        }
        self.fields["text"].widget.attrs = {"autocomplete": "off"}
        self.condition: FilterCondition | None = None

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        key = values.get("field", "")
        if not key and values.get("text"):
            self.add_error("field", "Choose a field for it, or empty the value.")
        if not key or self.errors:
            return values
        op = FilterOp(values["op"])
        allowed_ops = self.filtered_side.allowed_ops(key)
        if op not in allowed_ops:
            allowed = ", ".join(f"“{other.label}”" for other in allowed_ops)
            raise forms.ValidationError(f"This field can be compared by {allowed} only. Choose one of them.")
        texts = values_of_text(values["text"]) if op.takes_values else []
        if op.takes_values and not 0 < len(texts) <= MAX_VALUES:
            raise forms.ValidationError(f"Type a value, or {MAX_VALUES} at most.")
        try:
            self.condition = self.filtered_side.parse_condition(key, op, texts)
        except (UnknownValue, ValueError) as error:
            self.add_error("text", reason_of(error))
        return values


ConditionFormSet = forms.formset_factory(
    ConditionForm, extra=3, max_num=MAX_CONDITIONS, validate_max=True, absolute_max=MAX_CONDITIONS + 1
)


def text_of_values(values: Iterable[str]) -> str:
    """Return the values as a person types them."""
    return f"{SEPARATOR} ".join(value.replace(SEPARATOR, SEPARATOR * 2) for value in values)


def values_of_text(text: str) -> list[str]:
    """Return the values that a person typed."""
    parts = text.replace("\0", "").replace(SEPARATOR * 2, "\0").split(SEPARATOR)
    values = (part.replace("\0", SEPARATOR).strip() for part in parts)
    return list(dict.fromkeys(filter(None, values)))
