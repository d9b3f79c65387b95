// The bars follow the batch, the dtype and the units, and the layer that is selected.
import { all, find } from "./dom.js";
import { bytes, count, percent } from "./numbers.js";
import { idOf } from "./costs.js";

const COLUMNS = ["params", "macs", "activation_bytes"];
const NARROW = 136; // so that a phone shows names and shares at 11 px

export class Bars {
  constructor(data, pick) {
    this.data = data;
    const svg = find("svg.bars");
    this.depth = Number(svg.dataset.depth);
    this.headings = all(":scope > text", svg);
    this.groups = all("g[data-path]", svg).map((group) => ({ group, path: group.dataset.path, rows: [], rects: all("rect", group) }));
    const known = new Map(this.groups.map((each) => [each.path, each]));
    const others = this.groups.find(({ path }) => /^\d+ other layers$/.test(path));
    for (const row of data.rows) (known.get(this.pathOf(row)) ?? others)?.rows.push(row);
    this.drawn = Math.max(...all("rect", svg).map((rect) => Number(rect.getAttribute("width"))));
    this.box = svg.getAttribute("viewBox");
    this.axes = all(":scope > path", svg);
    this.svg = svg;
    for (const { group, rows } of this.groups) {
      const lead = () => rows[0] && pick(rows[0]);
      group.addEventListener("click", lead);
    }
  }

  /** The bar of a row: its own, or that of the container into which rows so deep are folded. */
  pathOf(row) {
    const parts = row.path.split(".");
    const path = parts.slice(0, this.depth).join(".");
    return parts.length > this.depth || path in this.data.containers ? path : idOf(row);
  }

  /** On a phone the three columns stand below one another, each with its names. */
  stack(narrow) {
    const [, , , high] = this.box.split(" ").map(Number);
    const left = COLUMNS.map((_, at) => Number(this.headings[at].getAttribute("x")));
    const move = (element, at) => {
      if (narrow) element.setAttribute("transform", `translate(${left[0] - left[at]} ${at * high})`);
      else element.removeAttribute("transform");
    };
    this.wide = narrow ? NARROW : this.drawn;
    const size = narrow ? [left[0] + NARROW + 52, COLUMNS.length * high] : this.box.split(" ").slice(2);
    this.svg.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    for (const [at, name] of ["width", "height"].entries()) this.svg.setAttribute(name, size[at]);
    this.svg.classList.toggle("stacked-columns", narrow);
    for (const text of all("text.again", this.svg)) text.remove();
    for (const [at, name] of COLUMNS.entries()) {
      move(this.headings[at], at);
      move(this.axes[at], at);
      for (const { group, rects } of this.groups) {
        const rect = rects.find((each) => each.getAttribute("class") === name);
        if (rect) for (const element of [rect, rect.nextElementSibling]) move(element, at);
        if (!narrow || !at) continue;
        const again = find("text", group).cloneNode(true);
        again.setAttribute("class", "ink again");
        again.setAttribute("transform", `translate(0 ${at * high})`);
        group.append(again);
      }
    }
  }

  /** Draw the bars for the present values; work is MACs or FLOPs. */
  show(work, unit) {
    for (const [at, name] of COLUMNS.entries()) {
      const column = this.data.byName[name === "macs" ? work : name];
      const place = this.data.column[column.name];
      const human = (value) => (column.bytes ? bytes(value, unit) : count(value));
      const total = this.data.totals[place];
      find("tspan", this.headings[at]).textContent = name === "params" ? "parameters" : column.title;
      this.headings[at].lastChild.data = ` ${human(total)}`;
      const values = this.groups.map(({ rows }) => rows.reduce((sum, row) => sum + row.values[place], 0n));
      const most = values.reduce((a, b) => (a > b ? a : b), 0n);
      for (const [i, { rects }] of this.groups.entries()) {
        const rect = rects.find((each) => each.getAttribute("class") === name);
        if (!rect || !most) continue;
        const length = Math.max(1, (this.wide * Number((values[i] * 10n ** 6n) / most)) / 1e6);
        rect.setAttribute("width", length.toFixed(1));
        rect.nextElementSibling.setAttribute("x", (Number(rect.getAttribute("x")) + length + 5).toFixed(1));
        rect.nextElementSibling.textContent = percent(values[i], total);
      }
    }
  }

  select(row) {
    for (const { group, rows } of this.groups) group.classList.toggle("selected", row !== undefined && rows.includes(row));
  }
}
