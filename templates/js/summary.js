// The summary: columns of choice, sorting, ratios to any model.
import { find, make } from "./dom.js";
import { bytes, count, exact, times } from "./numbers.js";
import { headings, sortable } from "./sorting.js";
import { state } from "./state.js";

const SUPERSCRIPTS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖ";

export class Summary {
  constructor(data, pick) {
    this.data = data;
    this.table = find("table.summary");
    sortable(this.table, "model", (index) => pick(data.models[index]));
  }

  columns() {
    const work = state.unit === "flop" ? "flops" : "macs";
    const names = state.cols.split(",").map((name) => (name === "macs" || name === "flops" ? work : name));
    return [...new Set(names)].map((name) => this.data.column.get(name)).filter(Boolean);
  }

  /** The models to be seen, in order; what a model has no figure for comes last. */
  list() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.data.models.filter((model) => {
      const text = `${model.title} ${model.id}`.toLowerCase();
      return words.every((word) => text.includes(word) || model.names.includes(word));
    });
    const name = state.sort.replace(/^-/, "");
    const sign = state.sort.startsWith("-") ? -1 : 1;
    const column = this.data.column.get(name);
    if (name === "model") return found.sort((a, b) => sign * a.title.localeCompare(b.title, "en", { numeric: true }));
    if (!column) return found;
    const known = (model) => model.values[column.at] !== null;
    const order = (a, b) => {
      const [x, y] = [a.values[column.at], b.values[column.at]];
      return x < y ? -sign : x > y ? sign : 0;
    };
    return [...found.filter(known).sort(order), ...found.filter((model) => !known(model))];
  }

  show(shown, base, selected) {
    const columns = this.columns();
    this.table.tHead.replaceChildren(headings(columns));
    const focused = document.activeElement?.closest?.("tr[data-model]")?.dataset.model;
    this.table.tBodies[0].replaceChildren(...shown.map((model) => this.row(model, columns, base, selected)));
    if (focused !== undefined) find(`tr[data-model="${focused}"] button`, this.table)?.focus();
    find("#shown").textContent = `${shown.length} of ${this.data.models.length} models shown`;
    const although = base && this.data.differ ? ", although not all were run alike" : "";
    find("#ratios").textContent = base ? `Ratios in parentheses refer to ${base.title}${although}.` : "";
  }

  row(model, columns, base, selected) {
    const classes = [model === selected ? "selected" : "", model === base ? "base" : ""].filter(Boolean).join(" ");
    const pressed = String(model === selected);
    const name = make("th", { scope: "row" }, make("button", { type: "button", class: "pick", "aria-pressed": pressed }, model.title));
    const cells = columns.map((column) => make("td", { class: "n" }, ...this.cell(model, column, base)));
    return make("tr", { id: `m${model.index}`, class: classes || null, "data-model": model.index }, name, ...cells);
  }

  cell(model, column, base) {
    const value = model.values[column.at];
    if (value === null) return ["–"];
    if (column.form === "error") return [errorText(value) + (SUPERSCRIPTS["abcdefghijklmnop".indexOf(model.mark)] ?? "")];
    if (column.form === "plain") return [Number.isInteger(value) ? exact(value) : String(value)];
    const human = column.form === "bytes" ? bytes(value, state.bytes) : count(value);
    const text = state.num === "exact" ? exact(value) : human;
    const of = base?.values[column.at];
    return column.ratio && of ? [text, " ", make("span", { class: "ratio" }, `(${times(value, of)})`)] : [text];
  }
}

/** An error with the digits it was published with, at least one. */
function errorText(value) {
  return Math.round(value * 10) / 10 === value ? value.toFixed(1) : String(value);
}
