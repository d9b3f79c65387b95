// The rows of the page's data, recomputed for a batch and a dtype from whole numbers.

const KIND = { none: 0, batch: 1, size: 2, both: 3 };

/** Read the data that the page carries; counts become BigInt. */
export function read(text) {
  const data = JSON.parse(text);
  data.rows = data.rows.map(([path, kind, call, shape, extent, values, attributes], index) => {
    const base = values.map(BigInt);
    const made = data.attributes[attributes];
    return { index, path, call, shape, extent, kind: data.kinds[kind], attributes: made, base, values: base };
  });
  data.column = Object.fromEntries(data.columns.map((column, at) => [column.name, at]));
  for (const need of Object.values(data.needs)) {
    need.value = BigInt(need.value);
    need.lines = need.lines.map((lines) => lines.map((line) => line.map(BigInt)));
    need.first = need.first.map(big);
  }
  for (const line of data.memory) line.base = line.base.map(big);
  for (const name of ["lines", "first"]) data[name] = data[name].map(([place, row, at, ...values]) => [place, row, at, values.map(big)]);
  data.sizes = data.sizes.map(BigInt);
  data.batch = BigInt(data.batch);
  return data;
}

function big(value) {
  return value === null ? null : BigInt(value);
}

function ruled(value, kind, now, then) {
  if (kind === KIND.none) return value;
  if (kind === KIND.batch) return (value * now.batch) / then.batch;
  if (kind === KIND.size) return (value * now.size) / then.size;
  return (value * now.batch * now.size) / (then.batch * then.size);
}

/** Give every row, the totals, the memory lines and what goes in their values for a batch and a dtype. */
export function recompute(data, batch, dtype) {
  const [, variant, params] = data.dtypes.find(([name]) => name === dtype);
  const now = { batch: BigInt(batch), size: data.sizes[variant], variant, dtype, params };
  const then = { batch: data.batch, size: data.sizes[0] };
  data.now = now;
  for (const row of data.rows) {
    row.values = row.base.map((value, at) => (value ? ruled(value, data.columns[at].follows, now, then) : value));
  }
  for (const line of data.memory) {
    line.values = line.base.map((value, at) => (value === null ? null : ruled(value, at ? KIND.both : KIND.batch, now, then)));
  }
  const places = [data.rows.map((row) => row.values), data.memory.map((line) => line.values), data.rows.map((row) => row.shape), data.goes.map((each) => each.sizes)];
  for (const [place, row, at, parts] of data.lines) places[place][row][at] = parts[2 * variant] + parts[2 * variant + 1] * now.batch;
  if (now.batch === 1n) for (const [place, row, at, values] of data.first) places[place][row][at] = values[variant];
  for (const each of data.goes) {
    each.elements = each.sizes.reduce((product, size) => product * BigInt(size), 1n);
    each.bytes = each.elements * BigInt(each.size ?? now.size);
  }
  data.totals = data.columns.map((_, at) => {
    let total = 0n;
    for (const row of data.rows) if (row.values[at]) total += row.values[at];
    return total;
  });
}

/** The dtype of what goes in, and its sizes without the batch. */
export const kindOf = ({ size, kind }, now) => (size ? kind : now.dtype);
export const single = ({ sizes, item }, batch) => (!item && BigInt(sizes[0] ?? 0) === batch ? sizes.slice(1) : sizes);

/** The rows as a tree of the model's modules. A container's values are the sums of what is in it. */
export function treeOf(data) {
  const root = { path: "", name: "", children: [], parent: null, depth: -1, row: null };
  const known = new Map([["", root]]);
  const container = (path) => {
    const found = known.get(path);
    if (found) return found;
    const cut = path.lastIndexOf(".");
    const parent = container(cut < 0 ? "" : path.slice(0, cut));
    const kind = data.kinds[data.containers[path]] ?? "";
    const node = { path, name: path.slice(cut + 1), kind, children: [], parent, depth: parent.depth + 1, row: null };
    known.set(path, node);
    parent.children.push(node);
    return node;
  };
  for (const row of data.rows) {
    const inside = row.path in data.containers;
    const cut = row.path.lastIndexOf(".");
    const parent = inside ? container(row.path) : container(cut < 0 ? "" : row.path.slice(0, cut));
    const call = row.call > 1 ? ` (call ${row.call})` : "";
    const own = row.path ? "own work" : "(model)";
    const name = inside || !row.path ? own + call : row.path.slice(cut + 1) + call;
    parent.children.push({ path: row.path, name, kind: row.kind, children: [], parent, depth: parent.depth + 1, row });
  }
  return root;
}

/** Sum every container of the tree. */
export function sum(node) {
  if (node.row) {
    node.values = node.row.values;
    return node.values;
  }
  const parts = node.children.map(sum);
  node.values = parts.length ? parts[0].map((_, at) => parts.reduce((total, values) => total + values[at], 0n)) : [];
  return node.values;
}

/** The name by which a link means a row. */
export function idOf(row) {
  return (row.path || "(model)") + (row.call > 1 ? `:${row.call}` : "");
}
