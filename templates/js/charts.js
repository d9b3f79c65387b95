// The charts follow what is selected, sorted and filtered; their points are reached by arrow keys.
import { all, find } from "./dom.js";

export class Charts {
  constructor(data, pick) {
    this.data = data;
    this.marks = all("svg [data-model]");
    this.bars = all("svg.stacked a.bar");
    const first = this.bars.map((bar) => Number(/ ([\d.]+)\)/.exec(bar.getAttribute("transform"))[1]));
    [this.top, this.step] = [first[0], (first[1] ?? first[0]) - first[0]];
    for (const svg of all("svg.scatter, svg.stacked")) this.keys(svg);
    for (const link of all("svg a[data-model]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        pick(data.models[Number(link.dataset.model)]);
      });
    }
  }

  /** One stop for the tab key in each chart, then the arrow keys. */
  keys(svg) {
    const links = () => all("a[data-model]:not([display])", svg).sort((a, b) => this.place(a) - this.place(b));
    for (const [at, link] of links().entries()) link.setAttribute("tabindex", at ? "-1" : "0");
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const found = links();
      const at = found.indexOf(document.activeElement);
      const next = found[at + step];
      if (!step || at < 0 || !next) return;
      event.preventDefault();
      found[at].setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }

  /** Where a link stands in its chart: bars from the top, points from the left. */
  place(link) {
    const [, x, y] = /\(([-\d.]+) ([-\d.]+)\)/.exec(link.getAttribute("transform"));
    return link.classList.contains("bar") ? Number(y) : Number(x);
  }

  show(shown, selected) {
    const order = new Map(shown.map((model, at) => [model.index, at]));
    for (const mark of this.marks) {
      const model = Number(mark.dataset.model);
      mark.classList.toggle("out", !order.has(model));
      mark.classList.toggle("selected", model === selected?.index);
      if (mark.tagName === "a") mark.setAttribute("aria-current", String(model === selected?.index));
    }
    for (const bar of this.bars) {
      const at = order.get(Number(bar.dataset.model));
      if (at === undefined) bar.setAttribute("display", "none");
      else {
        bar.removeAttribute("display");
        bar.setAttribute("transform", `translate(0 ${this.top + this.step * at})`);
      }
    }
    const svg = find("svg.stacked");
    const links = this.bars.filter((bar) => !bar.hasAttribute("display"));
    if (!links.some((bar) => bar.getAttribute("tabindex") === "0")) links[0]?.setAttribute("tabindex", "0");
    svg.append(...[...links].sort((a, b) => this.place(a) - this.place(b)));
    for (const cell of all("table.blocks [data-model]")) {
      cell.hidden = !order.has(Number(cell.dataset.model));
      cell.classList.toggle("selected", Number(cell.dataset.model) === selected?.index);
    }
  }
}
