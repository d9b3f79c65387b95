// The axis of the timeline in the unit of choice; the picture itself is that of the run.
import { all, find } from "./dom.js";

const PREFIXES = {
  MiB: [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
  MB: [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
};

/** Round values up to the largest, in bytes, each with its text: steps of 1, 2 or 5 times a power of ten. */
export function ticks(most, unit) {
  const [factor, prefix] = PREFIXES[unit].find(([size]) => most >= 2 * size) ?? [1, "B"];
  const top = most / factor;
  const power = 10 ** Math.max(0, Math.floor(Math.log10(top / 4)));
  const step = power * ([1, 2, 5].find((each) => top / (power * each) <= 6) ?? 10);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => [i * step * factor, i ? `${i * step} ${prefix}` : "0"]);
}

/** Mark the axis anew, where there is a timeline. */
export function markTimeline(unit) {
  const svg = find("svg.timeline");
  if (!svg) return;
  const [top, high, most] = svg.dataset.axis.split(" ").map(Number);
  const old = all("g.tick", svg);
  const found = ticks(most, unit).map(([value, text]) => {
    const tick = old[0].cloneNode(true);
    tick.setAttribute("transform", `translate(0 ${(top + high * (1 - value / most)).toFixed(1)})`);
    find("text", tick).textContent = text;
    return tick;
  });
  old[0].before(...found);
  for (const tick of old) tick.remove();
}
