// Tables that are sorted by their headings: most first, then least, then as they were.
import { all, make } from "./dom.js";
import { set, state } from "./state.js";

/** Sort a table by the heading that is clicked; of any other row, `picked` gets the number that `kind` names. */
export function sortable(table, kind, picked) {
  table.addEventListener("click", (event) => {
    const name = event.target.closest("button[data-sort]")?.dataset.sort;
    const row = event.target.closest(`tr[data-${kind}]`);
    if (name !== undefined) {
      set({ sort: state.sort === `-${name}` ? name : state.sort === name ? "" : `-${name}` });
      all("button[data-sort]", table).find((other) => other.dataset.sort === name)?.focus();
    } else if (row) picked(Number(row.dataset[kind]));
  });
}

/** The row of headings: the model, and columns of figures. */
export function headings(columns) {
  const heading = ({ name, title }, kind) => {
    const order = { [`-${name}`]: "descending", [name]: "ascending" }[state.sort] ?? null;
    return make("th", { scope: "col", class: kind, "aria-sort": order }, make("button", { type: "button", "data-sort": name }, title));
  };
  return make("tr", {}, heading({ name: "model", title: "model" }, null), ...columns.map((column) => heading(column, "n")));
}
