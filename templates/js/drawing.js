// The drawing follows the cost that is shown and the layer that is selected.
import { all, find } from "./dom.js";
import { bytes, count, exact, percent } from "./numbers.js";

/** "0-2 5" → [0, 1, 2, 5] */
function positions(text) {
  return text.split(" ").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

const LINE = 11;

export class Drawing {
  constructor(data, pick) {
    this.data = data;
    this.svg = find("svg.drawing");
    this.volumes = all("a.volume", this.svg).map((link) => ({
      link,
      rows: positions(link.dataset.rows),
      face: find("path", link),
      share: find(".share", link),
      title: find("title", link),
      name: find("title", link).textContent.split(";")[0],
    }));
    for (const [at, volume] of this.volumes.entries()) {
      volume.link.setAttribute("tabindex", at ? "-1" : "0"); // one stop, then the arrow keys
      volume.link.addEventListener("click", (event) => {
        event.preventDefault();
        pick(this.lead(volume));
      });
    }
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const at = this.volumes.findIndex(({ link }) => link === document.activeElement);
      const next = this.volumes[at + step];
      if (!step || at < 0 || !next) return;
      event.preventDefault();
      event.stopPropagation();
      this.volumes[at].link.setAttribute("tabindex", "-1");
      next.link.setAttribute("tabindex", "0");
      next.link.focus();
    });
  }

  /** The layer that a volume is named after: the one with most work. */
  lead(volume) {
    const at = this.data.column.macs;
    return volume.rows.map((row) => this.data.rows[row]).reduce((best, row) => (row.values[at] > best.values[at] ? row : best));
  }

  /** Colour the volumes by a cost, each by its share of the largest. */
  colour(cost, unit) {
    const column = this.data.byName[cost];
    const at = this.data.column[cost];
    const human = (value) => (column.bytes ? bytes(value, unit) : count(value));
    const values = this.volumes.map(({ rows }) => rows.reduce((sum, row) => sum + this.data.rows[row].values[at], 0n));
    const most = values.reduce((a, b) => (a > b ? a : b), 0n);
    const total = this.data.totals[at];
    for (const [i, volume] of this.volumes.entries()) {
      const value = values[i];
      const level = value && most ? Number(value * 5n >= most * 5n ? 5n : 1n + (5n * value) / most) : 0;
      volume.face.setAttribute("class", `q${level}`);
      volume.title.textContent = `${volume.name}; ${exact(value)} = ${human(value)} ${column.title}`;
      volume.share.textContent = total && value * 20n >= total ? percent(value, total) : "";
    }
    this.label();
    this.svg.setAttribute("class", `drawing of-${cost}`);
    find("#shown-cost").textContent = column.title;
    find("#shown-total").textContent = human(total);
  }

  /** Give the shares places where they do not meet: as they are, or a line or two up; of equal shares all or none. */
  label() {
    const places = [];
    const missing = new Set();
    for (const { share } of this.volumes) {
      if (!share.textContent) continue;
      const [x, y] = [Number(share.getAttribute("x")), Number(share.getAttribute("y"))];
      const free = [0, LINE, 2 * LINE].find((up) => y - up > LINE && places.every(([a, b]) => Math.abs(a - x) > 38 || Math.abs(b - y + up) >= LINE));
      share.setAttribute("dy", String(-(free ?? 0)));
      if (free === undefined) missing.add(share.textContent);
      else places.push([x, y - free]);
    }
    for (const { share } of this.volumes) if (missing.has(share.textContent)) share.textContent = "";
  }

  select(row) {
    for (const { link, rows } of this.volumes) {
      const here = row !== undefined && rows.includes(row.index);
      link.classList.toggle("selected", here);
      if (here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}
