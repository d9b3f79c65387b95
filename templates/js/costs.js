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
  data.inputs = data.inputs.map(BigInt);
  for (const need of Object.values(data.needs)) [need.value, need.terms] = [BigInt(need.value), need.terms.map((each) => each.map(BigInt))];
  for (const line of data.memory) line.base = line.base.map((value) => (value === null ? null : BigInt(value)));
  if (data.scaling) data.scaling.terms = data.scaling.terms.map(([place, row, at, ...terms]) => [place, row, at, terms.map(BigInt)]);
  return data;
}

/** p + q·N + s·(r + t·N) */
export function evaluated([p, q, r, t], batch, size) {
  return p + q * batch + size * (r + t * batch);
}

function ruled(value, kind, now, then) {
  if (kind === KIND.none) return value;
  if (kind === KIND.batch) return (value / then.batch) * now.batch;
  if (kind === KIND.size) return (value / then.size) * now.size;
  return (value / (then.batch * then.size)) * now.batch * now.size;
}

/** Give every row, the totals and the memory lines their values for a batch and bytes an element. */
export function recompute(data, batch, size) {
  data.now = { batch: BigInt(batch), size: BigInt(size) };
  if (data.scaling) {
    const { now } = data;
    const then = { batch: BigInt(data.scaling.batch), size: BigInt(data.scaling.size) };
    for (const row of data.rows) {
      row.values = row.base.map((value, at) => (value ? ruled(value, data.columns[at].follows, now, then) : value));
    }
    for (const line of data.memory) {
      line.values = line.base.map((value, at) => (value === null ? null : ruled(value, at ? KIND.both : KIND.batch, now, then)));
    }
    data.inputBytes = ruled(data.inputs[0], KIND.both, now, then) + ruled(data.inputs[1], KIND.batch, now, then);
    for (const [place, row, at, terms] of data.scaling.terms) {
      (place ? data.memory : data.rows)[row].values[at] = evaluated(terms, now.batch, now.size);
    }
  } else {
    for (const line of data.memory) line.values = line.base;
    data.inputBytes = data.inputs[0] + data.inputs[1];
  }
  data.totals = data.columns.map((_, at) => {
    let total = 0n;
    for (const row of data.rows) if (row.values[at]) total += row.values[at];
    return total;
  });
}

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
