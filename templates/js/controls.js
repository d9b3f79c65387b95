// What a page's controls do: those bound to the state, buttons, keys, and the theme.
import { all, find } from "./dom.js";
import { set, state } from "./state.js";

/** Bind every control: values to the state unless a check refuses them, buttons and keys to what they do. */
export function bind(actions, keys, checks = {}) {
  for (const control of all("[data-state]")) {
    const key = control.dataset.state;
    control.addEventListener("input", () => {
      if (checks[key] && !checks[key](control)) return undefined;
      if (control.type !== "checkbox") return set({ [key]: control.value });
      const chosen = all(`[data-state=${key}]`).filter((box) => box.checked).map((box) => box.value);
      return set({ [key]: chosen.join(",") });
    });
  }
  const does = {
    theme: () => set({ theme: isDark() ? "light" : "dark" }),
    help: () => find("#help").showModal(),
    closeHelp: () => find("#help").close(),
    ...actions,
  };
  for (const button of all("[data-do]")) button.addEventListener("click", () => does[button.dataset.do]());
  const pressed = { "?": does.help, t: does.theme, ...keys };
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox" && event.target.type !== "range";
    if (event.ctrlKey || event.metaKey || event.altKey || find("#help").open) return;
    if (typing && event.key === "Escape") {
      event.preventDefault(); // a search field would empty itself
      event.target.blur();
    }
    if (typing || !Object.hasOwn(pressed, event.key)) return;
    event.preventDefault();
    pressed[event.key]();
  });
}

/** Let every bound control show a value. */
export function showControls(values) {
  for (const control of all("[data-state]")) {
    const key = control.dataset.state;
    if (control.type === "checkbox") control.checked = values[key].split(",").includes(control.value);
    else if (control !== document.activeElement || control.tagName === "SELECT") control.value = values[key];
  }
}

/** Show what needs a script. */
export function unveil() {
  for (const element of all("[data-script]")) element.hidden = false;
  document.documentElement.classList.add("scripted");
}

/** Wear the theme of the state, if it names one, here and on the next page. */
export function wear() {
  if (!/^(light|dark)$/.test(state.theme)) return;
  document.documentElement.dataset.theme = state.theme;
  try {
    localStorage.setItem("vggcost-theme", state.theme);
  } catch {
    // Storage may be refused: the link remembers it.
  }
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
