"""The forms of the set-up: boards, fields, and the conditions of the filter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django import forms

from sync import registry
from sync.boards.sync_filter import GROUP_LABEL, MAX_CONDITIONS, MAX_VALUES, FilterCondition, FilterOp, FilterSide
from sync.choices import SyncDirection
from sync.monday.board_items import GROUP, NAME_COLUMN, BoardSummary
from sync.monday.columns import selectable_labels
from sync.monday.conversion import UnknownValue
from sync.operations.setup import selection
from sync.operations.setup.plan import planned_board
from sync.reconcile.field_values import stored_values

# Separates the values that a person types; doubled, it is part of a value.
SEPARATOR = ";"

_FILLED_OPS = (FilterOp.FILLED, FilterOp.EMPTY)


class BoardsForm(forms.Form):
    """The board of each type of records."""

    def __init__(self, listed: Sequence[BoardSummary], present: Mapping[str, selection.Choices], data: Any) -> None:
        super().__init__(data, label_suffix="")
        for spec in registry.entities():
            link = registry.link_of(spec.entity_type)
            configured = registry.configured_board_id(spec.entity_type)
            named = [board.id for board in listed if board.name.strip().casefold() == spec.board_title.casefold()]
            stored = link.board_id if link is not None else ""
            board_id = stored or configured or next(iter(named), selection.NEW_BOARD)
            if present:
                choices = present.get(spec.entity_type)
                board_id = (choices.board_id or selection.NEW_BOARD) if choices is not None else selection.NO_BOARD
            boards = [(board.id, f"{board.name} ({board.id})") for board in listed]
            # A board beyond those that are listed.
            for other in {board_id, configured} - {selection.NO_BOARD, selection.NEW_BOARD, *dict(boards)}:
                boards.insert(0, (other, f"board {other}"))
            none = "Leave it as it is" if link is not None and link.board_id else "Don't set it up now"
            new = (selection.NEW_BOARD, f"Make a new board “{spec.board_title}”")
            help_text = "Your administrator has set the board on the server." if configured else ""
            if named and not stored and not configured:
                help_text = (
                    f"Monday has a board “{spec.board_title}” already. A new one would be a second of that name."
                )
            self.fields[spec.entity_type] = forms.ChoiceField(
                label=f"Board of {spec.board_title}",
                choices=[new, *boards, (selection.NO_BOARD, none)],
                initial=board_id,
                required=False,
                help_text=help_text,
            )


class FieldsForm(forms.Form):
    """The column, direction and rule of each field of one type, and what becomes of new and differing values."""

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
        for mappable in chosen.fields:
            choice = choices.choice_of(mappable)
            if not mappable.is_name:
                columns = _offered_columns(chosen, mappable, choice)
                self.fields[f"column-{mappable.key}"] = _choice_field(
                    f"Column of {mappable.label}", columns, choice.column, required=False
                )
            direction = _choice_field(f"Direction of {mappable.label}", SyncDirection.choices, choice.direction)
            direction.widget.attrs["data-column"] = f"id_column-{mappable.key}"
            self.fields[f"direction-{mappable.key}"] = direction
            rules = [(rule.value, rule.label) for rule in mappable.rules]
            self.fields[f"rule-{mappable.key}"] = _choice_field(f"Rule of {mappable.label}", rules, choice.rule)

    def clean(self) -> dict[str, Any]:
        """Build the choices and check them together."""
        values = self.cleaned_data
        if self.errors:
            return values
        fields = {}
        for mappable in self.chosen.fields:
            column = NAME_COLUMN if mappable.is_name else values[f"column-{mappable.key}"]
            choice = selection.FieldChoice(column, values[f"direction-{mappable.key}"], values[f"rule-{mappable.key}"])
            fields[mappable.key] = choice.with_implied_direction()
        choices = replace(
            self.chosen.choices,
            fields=fields,
            first_match=values["first_match"],
            creates_records=values["creates_records"],
            is_mapped=True,
        )
        self.chosen = replace(self.chosen, choices=choices)
        for key, sentences in self.chosen.problems().items():
            name = f"column-{key}"
            self.add_error(name if name in self.fields else f"direction-{key}", sentences)
        return values

    def rows(self) -> Iterable[dict[str, Any]]:
        """Return the fields of the form, by the field that they map."""
        for mappable in self.chosen.fields:
            column = f"column-{mappable.key}"
            parts = [column] if column in self.fields else []
            parts += [f"direction-{mappable.key}", f"rule-{mappable.key}"]
            choice = self.chosen.choices.choice_of(mappable)
            yield {
                "field": mappable,
                "column": self[column] if column in self.fields else None,
                "direction": self[f"direction-{mappable.key}"],
                "rule": self[f"rule-{mappable.key}"],
                "errors": [error for part in parts for error in self.errors.get(part, ())],
                "is_synced": choice.is_synced,
                "note": self.chosen.second_column_note(mappable) if choice.column == selection.NEW_COLUMN else "",
            }


def _choice_field(
    label: str, choices: Iterable[tuple[str, Any]], initial: str, *, required: bool = True
) -> forms.ChoiceField:
    widget = forms.Select(attrs={"aria-label": label})
    return forms.ChoiceField(label=label, choices=list(choices), initial=initial, required=required, widget=widget)


def _offered_columns(
    chosen: selection.ChosenBoard, mappable: selection.MappableField, choice: selection.FieldChoice
) -> list[tuple[str, str]]:
    """Return no column, a new one, and the columns that fit, each as its id and label: “Work phone (Phone)”."""
    new = f"Create a column “{mappable.label}” ({_type_words(mappable.new_column_type)})"
    offered = [("", "No column: not synced"), (selection.NEW_COLUMN, new)]
    for column in chosen.columns.values():
        fits = column.id != chosen.npd_id_column and not selection.unfit_reason(mappable, column)
        if fits or column.id == choice.column:
            offered.append((column.id, f"{column.title} ({_type_words(column.type)})"))
    if choice.column not in dict(offered):
        offered.append((choice.column, f"{choice.column}, deleted on the board"))
    return offered


def _type_words(column_type: str) -> str:
    return column_type.replace("_", " ").capitalize()


class FilteredSide:
    """One side of the filter: the fields that conditions may be about, how they are compared, and with which values."""

    def __init__(self, chosen: selection.ChosenBoard, side: FilterSide) -> None:
        self.side = side
        self.board = planned_board(chosen)
        self.columns = chosen.columns
        self.mappings = {
            mapping.key: mapping
            for mapping in self.board.mappings
            # A new column is empty in every item.
            if side is FilterSide.RECORD or not mapping.column_id.startswith(selection.NEW_COLUMN)
        }
        # The groups' ids by their title; a title that several groups have is followed by the id.
        titles = [title.casefold() for title in chosen.groups.values()]
        self.groups = {
            title if titles.count(title.casefold()) == 1 else f"{title} ({group})": group
            for group, title in (chosen.groups.items() if side is FilterSide.ITEM else ())
        }

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the fields, by key."""
        labels = {key: mapping.label for key, mapping in self.mappings.items()}
        return labels | ({GROUP: GROUP_LABEL} if self.groups else {})

    def values(self) -> dict[str, list[str]]:
        """Return the values that a page offers for each field, as a person types them."""
        values = {GROUP: [*self.groups]}
        for key, mapping in self.mappings.items():
            column = self.columns.get(mapping.column_id)
            labels = selectable_labels(column.type, column.settings) if column is not None else None
            values[key] = list(registry.choice_labels(self.board.model, mapping.fields)) or sorted(labels or ())
        return {key: [text_of_values([value]) for value in texts] for key, texts in values.items() if texts}

    def ops(self, key: str) -> Sequence[FilterOp]:
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

    def condition(self, key: str, op: FilterOp, texts: Sequence[str]) -> FilterCondition:
        """Return the condition; raises ValueError or UnknownValue if the field can't have one of the values."""
        if key == GROUP:
            ids = {title.casefold(): group for title, group in self.groups.items()}
            for text in texts:
                if text.casefold() not in ids:
                    titles = ", ".join(self.groups)
                    raise ValueError(f"The board has no group “{text}”. Choose one of its groups: {titles}.")
            return FilterCondition(key, op, tuple(ids[text.casefold()] for text in texts), tuple(texts))
        mapping = self.mappings[key]
        if op in (FilterOp.IS, FilterOp.IS_NOT) and registry.relation_of(self.board.model, mapping.fields) is None:
            convert = self.board.converter(mapping)
            empty = stored_values(self.board.model(), mapping)
            for text in texts:
                convert.canonical_local(convert.from_text(text, empty))
        return FilterCondition(key, op, tuple(texts), tuple(texts))

    def forms(self, data: Any) -> Any:
        """Return the forms of the conditions, at first those of the filter that was chosen."""
        conditions = self.board.sync_filter.records if self.side is FilterSide.RECORD else self.board.sync_filter.items
        initial = [
            {"field": condition.field, "op": condition.op, "text": text_of_values(condition.labels)}
            for condition in conditions
        ]
        return ConditionFormSet(data, initial=initial, prefix=self.side, form_kwargs={"side": self})


class ConditionForm(forms.Form):
    """A condition of the filter; without a field it is none."""

    field = forms.ChoiceField(label="Field", required=False)
    op = forms.ChoiceField(label="Comparison", choices=FilterOp.choices, initial=FilterOp.IS)
    text = forms.CharField(label="Value", required=False, max_length=20_000)

    def __init__(self, *args: Any, side: FilteredSide, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.side = side
        self.fields["field"].choices = [("", "No condition"), *side.labels.items()]  # type: ignore[attr-defined]
        self.fields["field"].widget.attrs = {
            "data-lists": f"npd-filter-{side.side}-values-",
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
        ops = self.side.ops(key)
        if op not in ops:
            allowed = ", ".join(f"“{other.label}”" for other in ops)
            raise forms.ValidationError(f"This field can be compared by {allowed} only. Choose one of them.")
        texts = values_of_text(values["text"]) if op.takes_values else []
        if op.takes_values and not 0 < len(texts) <= MAX_VALUES:
            raise forms.ValidationError(f"Type a value, or {MAX_VALUES} at most.")
        try:
            self.condition = self.side.condition(key, op, texts)
        except (UnknownValue, ValueError) as wrong:
            self.add_error("text", str(wrong))
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
