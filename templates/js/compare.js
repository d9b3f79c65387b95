// The page of several models.
import { Bargain } from "./bargain.js";
import { Charts } from "./charts.js";
import { bind, showControls, unveil, wear } from "./controls.js";
import { find } from "./dom.js";
import { modelOf, readModels } from "./models.js";
import { Pair } from "./pair.js";
import { onChange, set, start, state } from "./state.js";
import { Summary } from "./summary.js";

function main() {
  const data = readModels(find("#data").textContent);
  const bargain = new Bargain(data.stack);
  const [left, right] = data.pair.map((at) => data.models[at].id);
  const first = {
    base: data.base, unit: "mac", num: "human", bytes: "MiB", q: "", sort: "", cols: data.shown.join(","),
    left, right, show: "all", ...bargain.defaults,
  };
  start({ model: "", ...first, theme: "" });
  const pick = (model) => set({ model: model && model.id !== state.model ? model.id : "" });
  const summary = new Summary(data, pick);
  const charts = new Charts(data, pick);
  const pair = find("table.pair") ? new Pair(data) : null;
  const chosen = (key, otherwise) => modelOf(data, state[key]) ?? modelOf(data, otherwise);

  function refresh(changed) {
    const has = (...names) => changed === undefined || names.some((name) => changed.has(name));
    const base = state.base ? chosen("base", data.base) : undefined;
    const selected = modelOf(data, state.model);
    const shown = summary.list();
    if (has("theme")) wear();
    if (has("base", "unit", "num", "bytes", "q", "sort", "cols", "model")) summary.show(shown, base, selected);
    if (has("q", "sort", "model")) charts.show(shown, selected);
    if (pair && has("left", "right", "show", "unit")) pair.show(chosen("left", left), chosen("right", right));
    if (has("k", "c", "side")) bargain.show();
    const sides = { left: chosen("left", left).id, right: chosen("right", right).id };
    showControls({ ...state, base: base?.id ?? "", ...sides });
  }

  /** Select the model after or before, in the order shown. */
  function step(by) {
    const shown = summary.list();
    const at = shown.indexOf(modelOf(data, state.model));
    const next = shown[at < 0 ? (by > 0 ? 0 : shown.length - 1) : at + by];
    if (!next) return;
    set({ model: next.id });
    find(`tr[data-model="${next.index}"]`).scrollIntoView({ block: "nearest" });
  }

  const swap = () => set({ left: chosen("right", right).id, right: chosen("left", left).id });
  const onSide = (key) => () => state.model && set({ [key]: modelOf(data, state.model)?.id ?? state[key] });
  const actions = {
    swap,
    reset: () => set({ ...first, model: "" }),
    more: () => {
      pair.grow();
      pair.show(chosen("left", left), chosen("right", right));
    },
  };
  const keys = {
    j: () => step(1), k: () => step(-1), Escape: () => set({ model: "" }),
    p: () => set({ base: state.base === state.model ? "" : state.model }),
    l: onSide("left"), r: onSide("right"), x: swap,
    d: () => set({ show: state.show === "diff" ? "all" : "diff" }),
    e: () => set({ num: state.num === "exact" ? "human" : "exact" }),
    m: () => set({ unit: state.unit === "flop" ? "mac" : "flop" }),
    b: () => set({ bytes: state.bytes === "MiB" ? "MB" : "MiB" }),
    "/": () => find("#filter").focus(),
  };
  bind(actions, keys);
  onChange(refresh);
  unveil();
  refresh();
}

main();
