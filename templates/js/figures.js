// Figures in sentences, and what goes in, as the batch, the dtype and the units have it now.
import { all } from "./dom.js";
import { kindOf, single } from "./costs.js";
import { bytes, count, exact, percent } from "./numbers.js";

/** The number that a name means, as vggcost/report/figure.py writes it; undefined: none. */
function figureOf(data, name) {
  if (/^\d+$/.test(name)) return BigInt(name);
  const line = /^m(\d+)(?:-m(\d+))?$/.exec(name);
  if (line) return data.memory[line[1]].values[1] - (line[2] ? data.memory[line[2]].values[1] : 0n);
  if (name === "step_flops") return figureOf(data, "flops") + figureOf(data, "backward_flops");
  if (name === "tokens") return data.goes[0].elements;
  if (name === "macs_per_token") {
    const [macs, tokens] = [figureOf(data, "macs"), figureOf(data, "tokens")];
    return macs % tokens ? undefined : macs / tokens;
  }
  if (name === "whole") return figureOf(data, "held") + figureOf(data, "live");
  const need = Object.hasOwn(data.needs, name) && data.needs[name];
  return need ? needed(need, data.now) ?? need.value : data.totals[data.column[name]];
}

/** What is needed at most: the largest of the ops that can be the fullest; nothing where it is not known. */
function needed({ lines, first }, { batch, variant }) {
  if (batch === 1n && first.length) return first[variant];
  return lines[variant]?.map(([p, q]) => p + q * batch).reduce((a, b) => (a > b ? a : b));
}

/** A number in the form that the page asks for. */
function formed(value, form, unit) {
  if (form === "exact") return exact(value);
  if (form === "bytes") return bytes(value, unit);
  return count(value, form === "count" ? "" : form);
}

/** Write every figure of the page anew, and show what does not follow; changed: whether it is as it was run. */
export function writeFigures(data, unit, changed) {
  for (const element of all("[data-f]")) {
    const [name, form] = element.dataset.f.split(" ");
    const value = figureOf(data, name);
    element.textContent = value === undefined ? "–" : formed(value, form, unit);
  }
  for (const element of all("[data-goes]")) element.textContent = goesIn(data);
  for (const element of all(".findings")) element.textContent = findings(data);
  for (const stamp of all("[data-stamp]")) {
    const needs = stamp.dataset.stamp.split(" ").filter(Boolean).map((name) => needed(data.needs[name], data.now) ?? null);
    stamp.hidden = !changed || (needs.length > 0 && !needs.includes(null));
  }
}

/** Where the cost sits, in the words of vggcost/report/view.py. */
function findings(data) {
  const said = [["params", "holds", "hold", "parameters"], ["macs", "does", "do", "multiply-accumulates"], ["activation_bytes", "makes", "make", "activation bytes"]];
  const sentences = said.map(([column, one, several, what]) => {
    const at = data.column[column];
    const most = data.rows.reduce((best, { values }) => (values[at] > best ? values[at] : best), 0n);
    const names = data.rows.filter(({ values }) => most && values[at] === most).map(({ path, call }) => (path || "(model)") + (call > 1 ? ` (call ${call})` : ""));
    if (!names.length) return "";
    if (names.length > 8) names.splice(3, names.length, `${names.length - 3} more`);
    const last = names.pop();
    const text = `${exact(most)}, ${percent(most, data.totals[at])} of the ${what}`;
    return names.length ? `${names.join(", ")} and ${last} ${several} ${text} each` : `${last} ${one} ${text}`;
  });
  return `${sentences.filter(Boolean).join("; ")}.`;
}

/** What goes in, in the words of vggcost/units.py. */
function goesIn(data) {
  const n = data.now.batch;
  const sized = (each, sizes) => {
    const of = kindOf(each, data.now).replace("float32", "");
    const after = of && ` ${of}`;
    if (!sizes.length) return `a${/^[iu]/.test(of) ? "n" : ""}${after} scalar`;
    return sizes.join("×") + after + (sizes.length > 1 ? "" : String(sizes[0]) === "1" ? " value" : " values");
  };
  const [first] = data.goes;
  if (data.goes.length === 1 && !first.item) return `${n === 1n ? "1 input" : `${exact(n)} inputs`} of ${sized(first, single(first, n))}`;
  const listed = data.goes.slice(0, 4).map((each) => `${each.name} ${sized(each, each.sizes)}`);
  return [...listed, ...(data.goes.length > 4 ? [`${data.goes.length - 4} more`] : [])].join(", ");
}
