// Which layers of two models are pairs, and what differs, by the rules of the command line.

/** The longest runs that two lists have in common, from the longest, as Python's difflib finds them: [i, j, length]. */
export function runs(a, b) {
  const where = new Map();
  for (const [j, key] of b.entries()) {
    if (where.has(key)) where.get(key).push(j);
    else where.set(key, [j]);
  }
  const lengths = [new Int32Array(b.length + 1), new Int32Array(b.length + 1)];
  const marks = [new Int32Array(b.length + 1), new Int32Array(b.length + 1)];
  let mark = 0;
  const longest = (alo, ahi, blo, bhi) => {
    let best = [alo, blo, 0];
    mark += 2; // what is left from another search does not count
    for (let i = alo; i < ahi; i += 1) {
      mark += 1;
      const now = mark & 1;
      for (const j of where.get(a[i]) ?? []) {
        if (j < blo) continue;
        if (j >= bhi) break;
        const length = (j > blo && marks[now ^ 1][j] === mark - 1 ? lengths[now ^ 1][j] : 0) + 1;
        lengths[now][j + 1] = length;
        marks[now][j + 1] = mark;
        if (length > best[2]) best = [i - length + 1, j - length + 1, length];
      }
    }
    return best;
  };
  const found = [];
  const open = [[0, a.length, 0, b.length]];
  while (open.length) {
    const [alo, ahi, blo, bhi] = open.pop();
    const [i, j, length] = longest(alo, ahi, blo, bhi);
    if (!length) continue;
    found.push([i, j, length]);
    if (alo < i && blo < j) open.push([alo, i, blo, j]);
    if (i + length < ahi && j + length < bhi) open.push([i + length, ahi, j + length, bhi]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}

/** Call equal for each pair of a run, and other for what is between the runs. */
function walk(a, b, key, equal, other) {
  let [i, j] = [0, 0];
  for (const [x, y, length] of [...runs(a.map(key), b.map(key)), [a.length, b.length, 0]]) {
    if (i < x || j < y) other(a.slice(i, x), b.slice(j, y));
    for (let n = 0; n < length; n += 1) equal(a[x + n], b[y + n]);
    [i, j] = [x + length, y + length];
  }
}

/** Pairs of layers, either of which may be null: by name, or by kind where few names are shared. */
export function pairs(a, b) {
  const found = [];
  const pair = (one, other) => found.push([one, other]);
  const alone = (left, right) => {
    for (const layer of left) pair(layer, null);
    for (const layer of right) pair(null, layer);
  };
  const names = new Set(a.map((layer) => layer.name));
  const shared = new Set(b.map((layer) => layer.name).filter((name) => names.has(name))).size;
  const key = shared * 2 >= Math.min(a.length, b.length) ? "name" : "kind";
  walk(a, b, (layer) => layer[key], pair, (left, right) => walk(left, right, (layer) => layer.kind, pair, alone));
  return found;
}

const ORDER = { out_channels: 0, out_features: 0, kernel_size: 1, stride: 2, padding: 3 };
// What follows from the layer before is no difference of its own.
const CONSEQUENCES = new Set(["in_channels", "in_features", "num_features", "output_padding", "padding_mode"]);

/** What two paired layers were made with that differs: ["kernel_size 3 for 1"] */
export function changed(a, b) {
  if (a.kind !== b.kind) return [`${b.kind} for ${a.kind}`];
  const [before, after] = [new Map(a.attributes), new Map(b.attributes)];
  const value = (map, name) => map.get(name) ?? "none";
  let names = [...new Set([...before.keys(), ...after.keys()])].filter((name) => before.get(name) !== after.get(name));
  const found = [];
  const isWindow = (name) => name === "kernel_size" || name === "stride";
  if (b.kind.includes("Pool") && names.some(isWindow)) {
    const window = (map) => `${value(map, "kernel_size")}/${value(map, "stride")}`;
    found.push(`${window(after)} for ${window(before)}`);
    names = names.filter((name) => !isWindow(name));
  }
  const rank = (name) => (Object.hasOwn(ORDER, name) ? ORDER[name] : 4);
  names.sort((x, y) => rank(x) - rank(y) || (x < y ? -1 : 1));
  for (const name of names) if (!CONSEQUENCES.has(name)) found.push(`${name} ${value(after, name)} for ${value(before, name)}`);
  return found;
}
