// Figures in sentences, and what goes in, as the batch, the dtype and the units have it now.
import { all } from "./dom.js";
import { bytes, count, exact, percent } from "./numbers.js";
import { evaluated } from "./costs.js";

/** The number that a name means, as vggcost/report/figure.py writes it; undefined: none. */
export function figureOf(data, name, n, size) {
  if (/^\d+$/.test(name)) return BigInt(name);
  const line = /^m(\d+)(?:-m(\d+))?$/.exec(name);
  if (line) return data.memory[line[1]].values[1] - (line[2] ? data.memory[line[2]].values[1] : 0n);
  const [, row, column] = /^(?:r(\d+)\.)?(.+)$/.exec(name);
  if (column === "step_flops") return figureOf(data, "flops") + figureOf(data, "backward_flops");
  if (column === "tokens") return (BigInt(data.tokens) / BigInt(data.batch)) * BigInt(n);
  if (column === "whole") return figureOf(data, "held", n, size) + figureOf(data, "live", n, size);
  if (Object.hasOwn(data.needs, column)) return needed(data.needs[column], n, size);
  return (row ? data.rows[row].values : data.totals)[data.column[column]];
}

/** What is needed at most: the largest of the ops that can be the fullest. */
function needed({ value, terms }, n, size) {
  if (!terms.length) return value;
  return terms.map((each) => evaluated(each, BigInt(n), BigInt(size))).reduce((a, b) => (a > b ? a : b));
}

/** A number in the form that the page asks for. */
function formed(value, form, unit, whole) {
  if (form === "exact") return exact(value);
  if (form === "bytes") return bytes(value, unit);
  if (form === "share") return percent(value, whole);
  return count(value, form === "count" ? "" : form);
}

/** Write every figure of the page anew. */
export function writeFigures(data, n, dtype, size, unit) {
  for (const element of all("[data-f]")) {
    const [name, form] = element.dataset.f.split(" ");
    const value = figureOf(data, name, n, size);
    const text = value === undefined ? "" : formed(value, form, unit, data.totals[data.column[name.split(".")[1]]]);
    if (text) element.textContent = text;
  }
  if (data.scaling) for (const element of all("[data-goes]")) element.textContent = goesIn(data, BigInt(n), dtype);
}

/** What goes in, in the words of vggcost/units.py. */
export function goesIn(data, n, dtype) {
  const sized = ({ sizes, floating, kind }) => {
    const of = (floating ? dtype : kind).replace("float32", "");
    const after = of && ` ${of}`;
    if (!sizes.length) return `a${/^[iu]/.test(of) ? "n" : ""}${after} scalar`;
    return sizes.join("×") + after + (sizes.length > 1 ? "" : String(sizes[0]) === "1" ? " value" : " values");
  };
  const [first] = data.goes;
  if (data.goes.length === 1 && !first.item) return `${n === 1n ? "1 input" : `${exact(n)} inputs`} of ${sized(first)}`;
  const whole = (each) => sized({ ...each, sizes: each.batched ? [n, ...each.sizes] : each.sizes });
  const listed = data.goes.slice(0, 4).map((each) => `${each.name} ${whole(each)}`);
  return [...listed, ...(data.goes.length > 4 ? [`${data.goes.length - 4} more`] : [])].join(", ");
}
