// The page of a sweep: thousands of rows, and the front of the best.
import { bind, showControls, unveil, wear } from "./controls.js";
import { find } from "./dom.js";
import { Rows, readRows } from "./rows.js";
import { onChange, set, start, state } from "./state.js";

function main() {
  const data = readRows(find("#data").textContent);
  const first = { q: "", show: "all", num: "human", bytes: "MiB", sort: "" };
  start({ model: "", ...first, theme: "" });
  const pick = (row) => set({ model: row.name === state.model ? "" : row.name });
  const rows = new Rows(data, pick);
  const crowd = find("svg .crowd");
  const ring = crowd?.cloneNode();
  if (ring) {
    ring.setAttribute("class", "ring");
    ring.removeAttribute("stroke-opacity");
    ring.setAttribute("stroke-width", "13");
    crowd.after(ring);
  }
  const dots = (shown) => shown.filter((row) => row.place.length).map(({ place }) => `M${place[0]} ${place[1]}h0`).join("");

  function refresh(changed) {
    const has = (...names) => changed === undefined || names.some((name) => changed.has(name));
    if (has("theme")) wear();
    const shown = rows.list();
    const selected = data.rows.find((row) => row.name === state.model);
    if (has("q", "show", "num", "bytes", "sort", "model")) rows.show(shown, selected);
    crowd?.setAttribute("d", dots(shown) || "M0 0");
    ring?.setAttribute("d", selected ? dots([selected]) || "M0 0" : "M0 0");
    showControls(state);
  }

  /** Select the row after or before, in the order shown. */
  function step(by) {
    const at = rows.shown.findIndex((row) => row.name === state.model);
    const next = rows.shown[at < 0 ? (by > 0 ? 0 : rows.shown.length - 1) : at + by];
    if (!next) return;
    set({ model: next.name });
    rows.reveal(next);
  }

  const keys = {
    j: () => step(1), k: () => step(-1), Escape: () => set({ model: "" }),
    f: () => set({ show: state.show === "front" ? "all" : "front" }),
    e: () => set({ num: state.num === "exact" ? "human" : "exact" }),
    b: () => set({ bytes: state.bytes === "MiB" ? "MB" : "MiB" }),
    "/": () => find("#filter").focus(),
  };
  bind({ reset: () => set({ ...first, model: "" }) }, keys);
  onChange(refresh);
  unveil();
  refresh();
}

main();
