// Edit a cell in place: open its editor, save or leave it, and say beside it what was refused.

import { fieldFor, valueOf } from "./fields.js";
import { act, attempt, inShort } from "./talk.js";
import { during, remember } from "./undo.js";

// What other modules need: put a row anew, and the focus onto a cell. `grid.js` and `rows.js` fill them in.
export const around = { refresh: async () => {}, focusOn: () => {}, focusNext: () => {} };

export function cellOf(item, column) {
  return document.querySelector(`#item-${item} [data-column="${CSS.escape(column)}"]`);
}

function change(cell, content) {
  const item_id = Number(cell.closest("tr").dataset.item);
  if (cell.dataset.column === "name") return act("rename", { item_id, name: content.text });
  return act("edit", { item_id, column_id: cell.dataset.column, ...content });
}

function rememberOf(cell) {
  const item_id = Number(cell.closest("tr").dataset.item);
  const words = cell.getAttribute("aria-label");
  const value = valueOf(cell);
  if (cell.dataset.column === "name") return () => remember(words, "rename", { item_id, name: value });
  return () => remember(words, "edit", { item_id, column_id: cell.dataset.column, value });
}

// Saves go one after another, each once the row shows the one before: what undo puts back is read from the row.
let turn = Promise.resolve();

function save(cell, content) {
  const { item } = cell.closest("tr").dataset;
  const saved = turn.then(async () => {
    const keep = rememberOf(cellOf(item, cell.dataset.column) ?? cell);
    await change(cell, content);
    keep();
  });
  turn = saved.then(() => around.refresh(item)).catch(() => {});
  return during(saved);
}

function saveAtOnce(cell, content) {
  attempt(save(cell, content));
}

export function clear(cell) {
  if (cell.dataset.column !== "name" && cell.dataset.value) saveAtOnce(cell, { value: null });
}

// `first` is a character that was typed on the cell: it begins the new content.
export function open(cell, first = "") {
  if (cell.dataset.type === "checkbox") {
    saveAtOnce(cell, { value: cell.getAttribute("aria-pressed") === "true" ? null : { checked: "true" } });
    return;
  }
  new Editing(cell, first);
}

class Editing {
  constructor(cell, first) {
    this.cell = cell;
    this.row = cell.closest("tr");
    this.field = fieldFor(cell, (refocus) => this.finish(refocus));
    this.closed = false;
    this.saving = false;
    this.refused = null;
    cell.hidden = true;
    cell.after(this.field.root);
    this.field.focus();
    if (first) this.field.main.value = first;
    this.field.main.dispatchEvent(new Event("input"));
    this.field.root.addEventListener("keydown", (event) => this.key(event));
    this.field.root.addEventListener("focusout", (event) => {
      if (!this.field.root.contains(event.relatedTarget)) this.finish(false);
    });
  }

  key(event) {
    event.stopPropagation();
    const isLines = event.target.tagName === "TEXTAREA";
    if (event.key === "Escape") {
      event.preventDefault();
      this.close(true);
    } else if (event.key === "Enter" && !(event.shiftKey && isLines)) {
      event.preventDefault();
      this.finish(true);
    } else if (event.key === "Tab") {
      const stops = [...this.field.root.querySelectorAll("input, select, textarea")];
      const last = event.shiftKey ? stops[0] : stops.at(-1);
      if (event.target !== last) return;
      event.preventDefault();
      this.finish(true, event.shiftKey ? -1 : 1);
    }
  }

  close(refocus) {
    this.closed = true;
    const stale = this.row.dataset.stale;
    this.note("refused")?.remove();
    this.note("meanwhile")?.remove();
    this.field.root.remove();
    // The row may have been put anew around the editor.
    const cell = cellOf(this.row.dataset.item, this.cell.dataset.column) ?? this.cell;
    cell.hidden = false;
    if (refocus) around.focusOn(cell);
    if (stale) around.refresh(this.row.dataset.item);
  }

  async finish(refocus, step = 0) {
    if (this.closed || this.saving) return;
    if (!this.field.changed()) {
      this.close(refocus);
      if (step) around.focusNext(step);
      return;
    }
    const content = this.field.content();
    const sent = JSON.stringify(content);
    // What was refused stays to be read and mended; leaving the field does not send it again.
    if (!refocus && sent === this.refused) return;
    this.saving = true;
    this.field.root.setAttribute("aria-busy", "true");
    try {
      await save(this.cell, content);
      // The focus moves now and not once the row is here: by then the person may be in another cell.
      this.close(refocus);
      if (step) around.focusNext(step);
    } catch (failure) {
      this.refused = sent;
      this.refuse(failure.message);
      if (refocus) this.field.main.focus();
    } finally {
      this.saving = false;
      this.field.root.removeAttribute("aria-busy");
    }
  }

  note(kind) {
    return this.field.root.parentElement?.querySelector(`.${kind}`);
  }

  refuse(words) {
    let note = this.note("refused");
    if (!note) {
      note = document.createElement("span");
      note.className = "refused";
      note.id = `refused-${this.row.dataset.item}-${this.cell.dataset.column}`;
      note.setAttribute("role", "alert");
      this.field.root.after(note);
    }
    note.textContent = inShort(words);
    this.field.main.setAttribute("aria-invalid", "true");
    this.field.main.setAttribute("aria-describedby", note.id);
  }
}
