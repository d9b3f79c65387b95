// The models of a comparison, read from the page's data; counts become BigInt.

export function readModels(text) {
  const data = JSON.parse(text);
  const forms = data.columns.map((column) => column.form);
  const counted = (value, form) => (value === null || form === "error" || form === "plain" ? value : BigInt(value));
  data.column = new Map(data.columns.map((column, at) => [column.name, { ...column, at }]));
  data.sorts = data.sorts.map(([kind, attributes, shape, ...figures]) => ({
    kind: data.kinds[kind],
    attributes: data.attributes[attributes],
    shape,
    figures: figures.map(BigInt),
  }));
  for (const [index, model] of data.models.entries()) {
    model.index = index;
    model.values = model.values.map((value, at) => counted(value, forms[at]));
  }
  data.figure = Object.fromEntries(data.figures.map((name, at) => [name, at]));
  return data;
}

/** The layers of a model, from the lists that all models share. */
export function layersOf(data, model) {
  const found = [];
  for (let i = 0; i < model.layers.length; i += 2) found.push({ name: data.paths[model.layers[i]], ...data.sorts[model.layers[i + 1]] });
  return found;
}

/** The model that a link means: by its name, or another name it goes by. */
export function modelOf(data, name) {
  const plain = (text) => text.toLowerCase().replaceAll("_", "-");
  const wanted = plain(name);
  if (!wanted) return undefined;
  return data.models.find((model) => model.id === name) ?? data.models.find((model) => [model.id, ...model.names].some((known) => plain(known) === wanted));
}
