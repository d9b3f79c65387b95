// What the reader chose, kept in the fragment of the address, so that a link shows the same page.

const listeners = [];
let defaults = {};
export const state = {};

function parsed() {
  const given = new URLSearchParams(location.hash.slice(1));
  const known = {};
  for (const key of Object.keys(defaults)) known[key] = given.get(key) ?? defaults[key];
  return known;
}

function tell(changed, moved = false) {
  for (const listener of listeners) listener(changed, moved);
}

/** Start with the defaults and what the address says. */
export function start(values) {
  defaults = values;
  Object.assign(state, parsed());
  const moved = () => {
    const now = parsed();
    const changed = new Set(Object.keys(now).filter((key) => now[key] !== state[key]));
    Object.assign(state, now);
    if (changed.size) tell(changed, true);
  };
  addEventListener("popstate", moved);
  addEventListener("hashchange", moved);
}

/** Call a function with the names of what changed, and whether the address did it, from now on. */
export function onChange(listener) {
  listeners.push(listener);
}

/** Change something; a selected layer is a step that the back button takes back. */
export function set(values) {
  const changed = new Set(Object.keys(values).filter((key) => state[key] !== values[key]));
  if (!changed.size) return;
  Object.assign(state, values);
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== defaults[key]) words.set(key, value);
  const address = `#${words}`;
  if (changed.has("layer")) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  tell(changed);
}
