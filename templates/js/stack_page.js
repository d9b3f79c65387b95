// The page of one k×k against a stack of 3×3.
import { Bargain } from "./bargain.js";
import { bind, showControls, unveil, wear } from "./controls.js";
import { find } from "./dom.js";
import { onChange, set, start, state } from "./state.js";

function main() {
  const bargain = new Bargain(JSON.parse(find("#data").textContent).stack);
  start({ ...bargain.defaults, theme: "" });
  const refresh = () => {
    wear();
    bargain.show();
    showControls(state);
  };
  bind({ reset: () => set({ ...bargain.defaults }) }, {});
  onChange(refresh);
  unveil();
  refresh();
}

main();
