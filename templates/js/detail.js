// All there is to say of the selected layer.
import { find, make } from "./dom.js";
import { bytes, count, exact, percent } from "./numbers.js";
import { shapeText } from "./table.js";

/** Fill the panel; the arithmetic is that of the run, whatever the batch is now. */
export function showDetail(data, row, working, unit) {
  const panel = find("#detail");
  panel.hidden = !row;
  document.documentElement.classList.toggle("detailed", Boolean(row));
  if (!row) {
    document.documentElement.style.scrollPaddingBottom = "";
    return;
  }
  find("h2", panel).textContent = (row.path || "(model)") + (row.call > 1 ? ` (call ${row.call})` : "");
  const figures = [];
  for (const [at, column] of data.columns.entries()) {
    const value = row.values[at];
    if (!value) continue;
    const human = column.bytes ? bytes(value, unit) : count(value);
    const share = percent(value, data.totals[at]);
    const text = `${exact(value)}${human === String(value) || human === `${value} B` ? "" : ` = ${human}`}`;
    figures.push(make("dt", {}, column.title), make("dd", {}, text, share ? make("span", { class: "soft" }, ` ${share}`) : null));
  }
  const extents = data.extents.map((title, at) => [title, row.extent[at]]).filter(([, text]) => text);
  for (const [title, text] of extents) figures.push(make("dt", {}, title), make("dd", {}, `${text} px`));
  find(".what", panel).textContent = [row.kind, `output ${shapeText(row.shape)}`, row.attributes].filter(Boolean).join(" · ");
  const lines = working.map((line) => make("p", {}, make("code", {}, line)));
  if (lines.length && data.now.batch !== data.batch) lines.push(make("p", { class: "stamp" }, `The arithmetic is that of batch ${data.batch}.`));
  find("dl", panel).replaceChildren(...figures);
  find(".work", panel).replaceChildren(...lines);
  document.documentElement.style.scrollPaddingBottom = `${panel.offsetHeight + 8}px`;
}
