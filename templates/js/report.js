// The page of one model.
import { read, recompute, treeOf, idOf } from "./costs.js";
import { Bars } from "./bars.js";
import { bind, showControls, unveil, wear } from "./controls.js";
import { showDetail } from "./detail.js";
import { all, find } from "./dom.js";
import { Drawing } from "./drawing.js";
import { writeFigures } from "./figures.js";
import { bytes, count, exact } from "./numbers.js";
import { onChange, set, start, state } from "./state.js";
import { LayerTable } from "./table.js";
import { markTimeline } from "./timeline.js";

const BATCH = /^[1-9]\d{0,8}$/;

function main() {
  const data = read(find("#data").textContent);
  data.byName = Object.fromEntries(data.columns.map((column) => [column.name, column]));
  for (const [at, title] of data.extents.entries()) data.byName[title.replace(" ", "_")] = { name: title.replace(" ", "_"), title, extent: at };
  const written = { n: String(data.batch), dtype: data.dtypes[0][0] };
  start({
    layer: "", num: "exact", unit: "mac", bytes: "MiB", ...written, sort: "", q: "", view: "tree",
    cols: data.shown.join(","), cost: "macs", theme: "",
  });
  const arithmetic = workingOf(data);
  const tree = treeOf(data);
  let follow = true; // whether the page scrolls to the layer that is selected next
  const pick = (row, scroll = false) => {
    follow = scroll;
    set({ layer: row ? idOf(row) : "" });
  };
  const table = new LayerTable(data, tree, pick);
  const drawing = new Drawing(data, pick);
  const bars = new Bars(data, pick);
  const selected = () => data.rows.find((row) => idOf(row) === state.layer);

  function valid() {
    const known = data.dtypes.some(([name]) => name === state.dtype);
    return [taken(state.n) ? state.n : written.n, known ? state.dtype : written.dtype];
  }

  const taken = (n) => BATCH.test(n) && n >= data.least && n <= data.most;

  /** Say what is wrong with a batch, if anything is. */
  function check(control, value = control.value) {
    const right = control.disabled || taken(value);
    control.setAttribute("aria-invalid", String(!right));
    find("#wrong").textContent = right ? "" : `batch: a whole number from ${exact(data.least)} to ${exact(data.most)}; still showing batch ${exact(valid()[0])}`;
    return right;
  }

  function refresh(changed, moved) {
    const all_ = changed === undefined;
    const has = (...names) => all_ || names.some((name) => changed.has(name));
    const [n, dtype] = valid();
    if (has("n", "dtype")) recompute(data, n, dtype);
    if (has("theme")) wear();
    if (has("bytes")) markTimeline(state.bytes);
    if (has("n", "dtype", "unit", "bytes", "num")) {
      const changed = n !== written.n || dtype !== written.dtype;
      totals(data, changed);
      writeFigures(data, state.bytes, changed);
      bars.show(work(), state.bytes);
    }
    if (has("cost", "n", "dtype", "bytes", "unit")) drawing.colour(costName(), state.bytes);
    if (has("n", "dtype", "num", "unit", "bytes", "sort", "q", "view", "cols", "layer")) table.show();
    if (has("layer", "n", "dtype", "bytes")) {
      const row = selected();
      drawing.select(row);
      bars.select(row);
      showDetail(data, row, row ? arithmetic(row) : [], state.bytes);
      if (row && has("layer")) table.reveal(row, all_ || moved || follow);
    }
    controls();
  }

  const work = () => (state.unit === "flop" ? "flops" : "macs");

  function costName() {
    const wanted = state.cost === "macs" ? work() : state.cost;
    return data.byName[wanted] ? wanted : "macs";
  }

  function controls() {
    const [n, dtype] = valid();
    showControls({ ...state, n, dtype });
    const control = find("[data-state=n]");
    if (control === document.activeElement) check(control);
    else check(control, state.n); // the address may name any
  }

  function listen() {
    const actions = {
      close: () => pick(undefined),
      next: () => step(1),
      previous: () => step(-1),
      open: () => toggle(true),
      shut: () => toggle(false),
      reset: () => set({ num: "exact", unit: "mac", bytes: "MiB", ...written, sort: "", q: "", view: "tree", cols: data.shown.join(","), cost: "macs" }),
    };
    bind(actions, {
      j: actions.next, k: actions.previous, Escape: actions.close,
      e: () => set({ num: state.num === "exact" ? "human" : "exact" }),
      m: () => set({ unit: state.unit === "mac" ? "flop" : "mac" }),
      b: () => set({ bytes: state.bytes === "MiB" ? "MB" : "MiB" }),
      v: () => set({ view: state.view === "tree" ? "flat" : "tree" }),
      "/": () => find("#filter").focus(),
    }, { n: check });
    find("#filter").addEventListener("keydown", (event) => {
      const first = table.shown.find((node) => node.row);
      if (event.key === "Enter" && first) pick(first.row, true);
    });
    const bar = find(".toolbar[role=toolbar]");
    const measure = () => {
      document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`);
      table.fit();
    };
    addEventListener("resize", measure);
    new ResizeObserver(measure).observe(bar);
  }

  function step(by) {
    const row = table.neighbour(by);
    if (row) pick(row, table.isSeen());
  }

  function toggle(open) {
    table.open.clear();
    if (open) for (const path of Object.keys(data.containers)) table.open.add(path);
    table.show();
  }

  const phone = matchMedia("(max-width: 600px)");
  bars.stack(phone.matches);
  phone.addEventListener("change", () => {
    bars.stack(phone.matches);
    bars.show(work(), state.bytes);
  });
  table.listen();
  onChange(refresh);
  unveil();
  listen();
  refresh();
}

/** The arithmetic of a row: what the table has written out, or for the rows beyond it the data. */
function workingOf(data) {
  const written = new Map();
  for (const row of all("tr.working")) written.set(Number(row.dataset.row), all("span", row).map((span) => span.textContent));
  return (row) => written.get(row.index) ?? data.working[row.index] ?? [];
}

/** The four totals and the memory table. */
function totals(data, changed) {
  const { batch, dtype, params } = data.now;
  const after = dtype && `, ${dtype}`;
  const at = (name) => data.totals[data.column[name]];
  const work = state.unit === "flop" ? ["flops", "FLOPs"] : ["macs", "MACs"];
  const inputs = batch === 1n ? "one input" : `a batch of ${exact(batch)}`;
  const size = (value) => bytes(value, state.bytes);
  const line = (key) => data.memory.find((each) => each.key === key)?.values ?? [null, null];
  const elements = line("outputs")[0] === null ? "" : `${exact(line("outputs")[0])} distinct outputs; `;
  const cards = {
    params: [count(at("params")), `${exact(at("params"))}; ${size(at("param_bytes"))}${params && ` in ${params}`}`],
    work: [count(at(work[0]), work[1]), `${exact(at(work[0]))} ${work[1]} forward for ${inputs}`],
    activations: [size(at("activation_bytes")), `${elements}${inputs}${after}`],
  };
  const saved = line("saved")[1];
  cards.saved = saved === null ? ["unknown", `${inputs}${after}`] : [size(saved), `${exact(saved)} bytes; ${inputs}${after}`];
  for (const [name, [big, small]] of Object.entries(cards)) {
    const card = find(`[data-card=${name}]`);
    if (!card) continue;
    find(".big", card).textContent = big;
    find(".small", card).textContent = small;
  }
  for (const row of all("tr[data-memory]")) {
    const found = data.memory[Number(row.dataset.memory)];
    const values = found.parts ? summed(data, found.parts) : found.values;
    const [elements, whole] = values[1] === null ? ["unknown", "unknown"] : [values[0] === null ? "" : exact(values[0]), size(values[1])];
    row.cells[1].textContent = elements;
    row.cells[2].textContent = whole.endsWith(" B") || values[1] === null ? whole : `${exact(values[1])} = ${whole}`;
  }
  find("#recomputed").textContent = changed ? `Recomputed for ${inputs}${dtype && ` in ${dtype}`}.` : "";
}

/** Add up columns' totals, in bytes, and memory lines. */
function summed(data, parts) {
  const values = parts.map((part) => {
    if (typeof part === "number") return data.memory[part].values[1];
    if (part === "input") return data.goes.reduce((total, each) => total + each.bytes, 0n);
    return data.totals[data.column[part]];
  });
  return [null, values.includes(null) ? null : values.reduce((total, value) => total + value, 0n)];
}

main();
