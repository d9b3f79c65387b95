// A table of thousands of rows: sorted, filtered, drawn as they are seen.
import { find, make } from "./dom.js";
import { bytes, count, exact } from "./numbers.js";
import { headings, sortable } from "./sorting.js";
import { state } from "./state.js";

const AROUND = 12;
const HEIGHT = 27;

/** The rows of the page's data; counts become BigInt. */
export function readRows(text) {
  const data = JSON.parse(text);
  const front = new Set(data.front);
  data.rows = data.rows.map(([name, ...rest], index) => {
    const values = data.columns.map(({ form }, at) => (rest[at] === null || form === "plain" ? rest[at] : BigInt(rest[at])));
    return { name, index, values, place: rest.slice(data.columns.length), front: front.has(index), low: name.toLowerCase() };
  });
  return data;
}

export class Rows {
  constructor(data, pick) {
    this.data = data;
    this.table = find("table.summary");
    this.scroller = this.table.parentElement;
    this.scroller.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    addEventListener("resize", () => this.draw(true));
    sortable(this.table, "row", (index) => pick(data.rows[index]));
  }

  /** The rows to be seen, in order; what has no figure comes last. */
  list() {
    const words = state.q.toLowerCase().split(/\s+/).filter((word) => word && word !== "-");
    const fits = ({ low }) => words.every((word) => (word.startsWith("-") ? !low.includes(word.slice(1)) : low.includes(word)));
    const found = this.data.rows.filter((row) => fits(row) && (state.show !== "front" || row.front));
    const name = state.sort.replace(/^-/, "");
    const sign = state.sort.startsWith("-") ? -1 : 1;
    if (name === "model") return found.sort((a, b) => sign * a.name.localeCompare(b.name, "en", { numeric: true }));
    const at = this.data.columns.findIndex((column) => column.name === name);
    if (at < 0) return found;
    const order = (a, b) => (a.values[at] < b.values[at] ? -sign : a.values[at] > b.values[at] ? sign : 0);
    const known = (row) => row.values[at] !== null;
    return [...found.filter(known).sort(order), ...found.filter((row) => !known(row))];
  }

  show(shown, selected) {
    this.shown = shown;
    this.selected = selected;
    this.head();
    this.scroller.classList.toggle("tall", shown.length > 60);
    this.table.setAttribute("aria-rowcount", String(shown.length + 1));
    find("#shown").textContent = `${exact(shown.length)} of ${exact(this.data.rows.length)} shown`;
    this.draw(true);
  }

  head() {
    find("thead", this.table).replaceChildren(headings(this.data.columns));
  }

  draw(anew = false) {
    const total = this.shown.length;
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / HEIGHT) - AROUND);
    const to = Math.min(total, from + Math.ceil(Math.max(this.scroller.clientHeight, 600) / HEIGHT) + 2 * AROUND);
    if (!anew && from === this.from && to === this.to) return;
    [this.from, this.to] = [from, to];
    const spacer = (rows) => {
      const row = make("tr", { class: "spacer", "aria-hidden": "true" }, make("td"));
      row.style.height = `${rows * HEIGHT}px`;
      return row;
    };
    const focused = document.activeElement?.closest?.("tr[data-row]")?.dataset.row;
    const rows = this.shown.slice(from, to).map((row, at) => this.row(row, from + at));
    this.table.tBodies[0].replaceChildren(...(from ? [spacer(from)] : []), ...rows, ...(to < total ? [spacer(total - to)] : []));
    if (focused !== undefined) find(`tr[data-row="${focused}"] button`, this.table)?.focus();
  }

  row(row, at) {
    const pressed = String(row === this.selected);
    const label = (row.front ? "◆ " : "") + row.name;
    const name = make("th", { scope: "row" }, make("button", { type: "button", class: "pick", "aria-pressed": pressed }, label));
    const cells = this.data.columns.map((column, place) => make("td", { class: "n" }, this.text(row.values[place], column.form)));
    return make("tr", { class: row === this.selected ? "selected" : null, "data-row": row.index, "aria-rowindex": at + 2 }, name, ...cells);
  }

  text(value, form) {
    if (value === null) return "–";
    if (form === "plain") return String(value);
    if (state.num === "exact") return exact(value);
    return form === "bytes" ? bytes(value, state.bytes) : count(value);
  }

  /** Bring a row into view. */
  reveal(row) {
    this.scroller.scrollTop = Math.max(0, (this.shown.indexOf(row) - 4) * HEIGHT);
    this.draw(true);
  }
}
