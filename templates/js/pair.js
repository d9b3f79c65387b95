// The layers of two models side by side, and what differs.
import { changed, pairs } from "./align.js";
import { find, make } from "./dom.js";
import { exact } from "./numbers.js";
import { layersOf } from "./models.js";
import { state } from "./state.js";

const STEP = 400; // rows that are drawn at once
const SIGNS = { added: "+", removed: "−", changed: "≠", follows: "~", "": "" };
const WORDS = { added: "only on the right", removed: "only on the left", follows: "follows from before" };

export class Pair {
  constructor(data) {
    this.data = data;
    this.table = find("table.pair");
    this.more = find("#more");
    this.known = "";
  }

  /** Align two models, unless that was done just before. */
  align(left, right) {
    const key = `${left.index} ${right.index}`;
    if (key === this.known) return;
    this.known = key;
    this.limit = STEP;
    this.pairs = pairs(layersOf(this.data, left), layersOf(this.data, right)).map(([a, b]) => {
      const what = a && b ? changed(a, b) : [];
      const alike = a && b && a.shape === b.shape && a.figures.every((value, at) => value === b.figures[at]);
      const kind = !a ? "added" : !b ? "removed" : what.length ? "changed" : alike ? "" : "follows";
      return { a, b, kind, what: WORDS[kind] ?? what.join(", ") };
    });
  }

  show(left, right) {
    this.align(left, right);
    const work = state.unit === "flop" ? "flops" : "macs";
    const title = state.unit === "flop" ? "FLOPs" : "MACs";
    this.at = { params: this.data.figure.params, work: this.data.figure[work] };
    const heads = [left, right].map((model) => make("th", { scope: "colgroup", colspan: 4 }, model.title));
    const columns = [left, right].flatMap(() => [
      make("th", { scope: "col" }, "layer"), make("th", { scope: "col", class: "n" }, "output"),
      make("th", { scope: "col", class: "n" }, "params"), make("th", { scope: "col", class: "n" }, title),
    ]);
    const mark = make("th", { scope: "col" }, make("span", { class: "unseen" }, "mark"));
    const last = [make("th", { scope: "col" }, "what differs"), make("th", { scope: "col", class: "n" }, `more ${title}`)];
    this.table.tHead.replaceChildren(make("tr", {}, make("td"), ...heads, make("td", { colspan: 2 })), make("tr", {}, mark, ...columns, ...last));
    const shown = state.show === "diff" ? this.pairs.filter((each) => each.kind) : this.pairs;
    this.table.tBodies[0].replaceChildren(...shown.slice(0, this.limit).map((each) => this.row(each)));
    this.more.parentElement.hidden = shown.length <= this.limit;
    this.more.textContent = `show ${Math.min(STEP, shown.length - this.limit)} of ${exact(shown.length - this.limit)} more rows`;
    this.total(left, right, work);
    const counts = { changed: 0, follows: 0, added: 0, removed: 0, "": 0 };
    for (const { kind } of this.pairs) counts[kind] += 1;
    find("#paired").textContent = `${counts.changed} changed, ${counts.follows} follow, ${counts.added} only on the right, ${counts.removed} only on the left, ${counts[""]} alike`;
  }

  row({ a, b, kind, what }) {
    const change = (b?.figures[this.at.work] ?? 0n) - (a?.figures[this.at.work] ?? 0n);
    return make(
      "tr", { class: kind || null },
      make("td", { class: "sign" }, SIGNS[kind]), ...this.side(a), ...this.side(b), make("td", {}, what), make("td", { class: "n" }, signed(change, exact)),
    );
  }

  side(layer) {
    if (!layer) return [make("td"), make("td"), make("td"), make("td")];
    const name = make("th", { scope: "row", title: `${layer.name} (${layer.kind})` }, layer.name);
    const cells = [layer.shape, this.figure(layer.figures[this.at.params]), this.figure(layer.figures[this.at.work])];
    return [name, ...cells.map((text) => make("td", { class: "n" }, text))];
  }

  figure(value) {
    return value ? exact(value) : "";
  }

  total(left, right, work) {
    const value = (model, name) => model.values[this.data.column.get(name).at];
    const side = (model) => [make("th", { scope: "row" }, "total"), make("td"), ...["params", work].map((name) => make("td", { class: "n" }, exact(value(model, name))))];
    const change = value(right, work) - value(left, work);
    this.table.tFoot.replaceChildren(make("tr", {}, make("td"), ...side(left), ...side(right), make("td"), make("td", { class: "n" }, signed(change, exact))));
  }

  grow() {
    this.limit += STEP;
  }
}

/** +961,536,000 */
function signed(value, write) {
  if (!value) return "";
  return value > 0n ? `+${write(value)}` : `−${write(-value)}`;
}
