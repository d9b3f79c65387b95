// The layer table: a collapsible tree, sorted, filtered, with columns of choice; rows are drawn as they are seen.
import { all, find, make } from "./dom.js";
import { bytes, count, exact, percent } from "./numbers.js";
import { set, state } from "./state.js";
import { idOf, kindOf, single, sum } from "./costs.js";

const WINDOW = 300; // more rows than this are drawn only while they are seen
const AROUND = 12;

export function shapeText(shape) {
  const sizes = shape.length > 1 ? shape.slice(1) : shape;
  return sizes.join("×");
}

/** A figure in the unit that the reader chose. */
export function figure(value, column) {
  if (!value) return "";
  if (state.num === "exact") return exact(value);
  return column.bytes ? bytes(value, state.bytes) : count(value);
}

export class LayerTable {
  constructor(data, tree, pick) {
    this.data = data;
    this.tree = tree;
    this.pick = pick;
    this.table = find("table.layers");
    this.scroller = this.table.parentElement;
    this.open = new Set();
    this.inputs = all("tbody tr.input", this.table).map((row) => row.cloneNode(true));
    this.height = 27;
    this.openToFit(tree, 70);
    this.scroller.addEventListener("scroll", () => this.virtual && requestAnimationFrame(() => this.draw()));
    addEventListener("beforeprint", () => this.show(true));
    addEventListener("afterprint", () => this.show());
  }

  /** Open containers level by level while the rows shown stay few. */
  openToFit(tree, most) {
    let level = [tree];
    let shown = tree.children.length;
    while (level.length) {
      const next = level.flatMap((node) => node.children.filter((child) => !child.row));
      const more = next.reduce((total, node) => total + node.children.length, 0);
      if (shown + more > most) break;
      for (const node of next) this.open.add(node.path);
      shown += more;
      level = next;
    }
  }

  columns() {
    const chosen = state.cols.split(",");
    const swapped = { macs: state.unit === "flop" ? "flops" : "macs" };
    const names = chosen.map((name) => swapped[name] ?? name);
    return [...new Set(names)].map((name) => this.data.byName[name]).filter(Boolean);
  }

  valueOf(node, name) {
    if (name === "name") return node.row ? node.row.index : node.children[0].row?.index ?? 0;
    const at = this.data.column[name];
    return at === undefined ? 0n : node.values[at];
  }

  sorted(children) {
    const key = state.sort.replace(/^-/, "");
    if (!key) return children;
    const sign = state.sort.startsWith("-") ? -1 : 1;
    return [...children].sort((a, b) => {
      const [x, y] = [this.valueOf(a, key), this.valueOf(b, key)];
      return x < y ? -sign : x > y ? sign : 0;
    });
  }

  matches(node) {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const text = `${node.path} ${node.kind}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  /** The nodes that are to be seen, in order. */
  list() {
    if (state.view === "flat") {
      const rows = [];
      const walk = (node) => (node.row ? rows.push(node) : node.children.forEach(walk));
      walk(this.tree);
      return this.sorted(rows.filter((node) => this.matches(node)));
    }
    const found = [];
    const walk = (node) => {
      for (const child of this.sorted(node.children)) {
        const before = found.length;
        found.push(child);
        if (child.row) {
          if (!this.matches(child)) found.pop();
        } else if (state.q || this.open.has(child.path)) {
          walk(child);
          if (state.q && found.length === before + 1 && !this.matches(child)) found.pop();
        }
      }
    };
    walk(this.tree);
    return found;
  }

  show(whole = false) {
    sum(this.tree);
    this.shown = this.list();
    this.virtual = !whole && this.shown.length > WINDOW;
    this.table.setAttribute("aria-rowcount", String(this.shown.length + this.inputs.length + 2));
    if (this.virtual) this.scroller.classList.add("tall"); // rows are drawn for its height
    this.head();
    this.draw(true);
    this.fit();
    const rows = this.shown.filter((node) => node.row).length;
    find("#shown").textContent = `${exact(rows)} of ${exact(this.data.rows.length)} layers shown`;
  }

  /** The headings stay in view: below the bar where the table fits, else in a box that scrolls both ways. */
  fit() {
    this.scroller.classList.remove("fits");
    const fits = !this.virtual && this.table.offsetWidth <= this.scroller.clientWidth;
    this.scroller.classList.toggle("fits", fits);
    this.scroller.classList.toggle("tall", !fits);
  }

  /** Whether some of the table is on the screen. */
  isSeen() {
    const { top, bottom } = this.scroller.getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  }

  head() {
    const header = (name, title, numeric) => {
      const down = state.sort === `-${name}`;
      const up = state.sort === name;
      const button = make("button", { type: "button", "data-sort": name }, title);
      const order = down ? "descending" : up ? "ascending" : null;
      return make("th", { scope: "col", class: numeric ? "n" : null, "aria-sort": order }, button);
    };
    const cells = [header("name", "layer"), make("th", { scope: "col" }, "kind"), make("th", { scope: "col" }, "output")];
    for (const column of this.columns()) cells.push(header(column.name, column.title, true));
    find("thead", this.table).replaceChildren(make("tr", {}, ...cells));
    const totals = this.columns().map((column) => {
      const at = this.data.column[column.name];
      return make("td", { class: "n" }, at === undefined ? "" : figure(this.data.totals[at], column));
    });
    find("tfoot", this.table).replaceChildren(
      make("tr", {}, make("th", { scope: "row" }, "total"), make("td"), make("td"), ...totals),
    );
  }

  draw(anew = false) {
    const body = find("tbody", this.table);
    const count = this.shown.length;
    let [from, to] = [0, count];
    if (this.virtual) {
      from = Math.max(0, Math.floor(this.scroller.scrollTop / this.height) - AROUND);
      to = Math.min(count, from + Math.ceil(this.scroller.clientHeight / this.height) + 2 * AROUND);
      if (!anew && from === this.from && to === this.to) return;
    }
    [this.from, this.to] = [from, to];
    const spacer = (rows) => {
      const row = make("tr", { class: "spacer", "aria-hidden": "true" }, make("td"));
      row.style.height = `${rows * this.height}px`;
      return row;
    };
    const rows = this.shown.slice(from, to).map((node, at) => this.row(node, from + at));
    const inputs = from === 0 ? this.inputs.map((row, at) => this.inputRow(row, this.data.goes[at])) : [];
    body.replaceChildren(...inputs, ...(from ? [spacer(from)] : []), ...rows, ...(to < count ? [spacer(count - to)] : []));
  }

  /** A row of what goes in, with the columns of choice, for the present batch and dtype. */
  inputRow(row, goes) {
    const { now } = this.data;
    const known = { ...row.dataset, activations: exact(goes.elements), activation_bytes: exact(goes.bytes) };
    const sizes = single(goes, now.batch);
    const shape = (sizes.length ? sizes : goes.sizes).join("×");
    const cells = this.columns().map((column) => make("td", { class: "n" }, known[column.name] ?? ""));
    return make("tr", { class: "input" }, row.cells[0].cloneNode(true), make("td", {}, kindOf(goes, now)), make("td", {}, shape), ...cells);
  }

  row(node, at) {
    const { row } = node;
    const label = state.view === "flat" ? (node.path || "(model)") + (row?.call > 1 ? ` (call ${row.call})` : "") : node.name;
    const open = state.q || this.open.has(node.path);
    const button = row
      ? make("button", { type: "button", class: "pick", "data-row": row.index }, label)
      : make("button", { type: "button", class: "fold", "data-path": node.path, "aria-expanded": String(Boolean(open)) }, label);
    const name = make("th", { scope: "row" }, button);
    if (state.view !== "flat") name.style.paddingInlineStart = `${4 + 16 * node.depth}px`;
    const shape = row ? shapeText(row.shape) : "";
    const cells = this.columns().map((column) => {
      if (column.extent !== undefined) return make("td", { class: "n" }, row ? row.extent[column.extent] : "");
      const value = node.values[this.data.column[column.name]];
      const share = percent(value, this.data.totals[this.data.column[column.name]]);
      return make("td", { class: "n", title: share ? `${share} of the total` : null }, figure(value, column));
    });
    const selected = row && idOf(row) === state.layer;
    return make(
      "tr",
      { class: [row ? "" : "container", selected ? "selected" : ""].join(" ").trim() || null, "aria-rowindex": at + 2 + this.inputs.length },
      name, make("td", {}, node.kind), make("td", {}, shape), ...cells,
    );
  }

  /** Bring a row into view, opening what it lies in. */
  reveal(row, scroll) {
    const parts = row.path.split(".");
    const inside = row.path in this.data.containers ? parts.length : parts.length - 1;
    for (let i = 1; i <= inside; i += 1) this.open.add(parts.slice(0, i).join("."));
    this.show();
    const at = this.shown.findIndex((node) => node.row === row);
    if (at < 0) return;
    if (this.virtual) {
      this.scroller.scrollTop = Math.max(0, (at - 4) * this.height);
      this.draw(true);
    }
    if (scroll) find("tr.selected", this.table)?.scrollIntoView({ block: "nearest" });
  }

  listen() {
    this.table.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.sort) {
        const name = button.dataset.sort;
        set({ sort: state.sort === `-${name}` ? name : state.sort === name ? "" : `-${name}` });
        find(`[data-sort="${name}"]`, this.table)?.focus();
      } else if (button?.dataset.path !== undefined) {
        const { path } = button.dataset;
        if (!this.open.delete(path)) this.open.add(path);
        this.show();
        all("button.fold", this.table).find((other) => other.dataset.path === path)?.focus();
      } else {
        const found = (event.target.closest("tr") ?? this.table).querySelector("button.pick");
        if (found && event.target.closest("tbody")) this.pick(this.data.rows[Number(found.dataset.row)]);
      }
    });
  }

  /** The layer after or before the selected one, in the order shown. */
  neighbour(step) {
    const rows = this.shown.filter((node) => node.row).map((node) => node.row);
    const at = rows.findIndex((row) => idOf(row) === state.layer);
    return rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
  }
}
