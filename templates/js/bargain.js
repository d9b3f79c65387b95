// One k×k against a stack of 3×3: the closed forms, for the kernel, the channels and the size of the sliders.
import { all, find, make } from "./dom.js";
import { divided, exact, times } from "./numbers.js";
import { set, state } from "./state.js";

const NUMERALS = { 1: "one", 2: "two", 3: "three", 4: "four", 5: "five" };

/** What one side costs, for one image in float32; null where no padding leaves nothing of the map. */
export function sideOf(kernel, layers, { channels, inputs, size, bias, relu, same }) {
  const left = (layer) => (same ? size : size - layer * (kernel - 1n));
  if (left(layers) < 1n) return null;
  let [weights, macs, activations, width, last] = [0n, 0n, 0n, inputs, 0n];
  for (let layer = 1n; layer <= layers; layer += 1n) {
    const area = left(layer) * left(layer);
    const filter = kernel * kernel * width;
    last = area * channels;
    weights += filter * channels;
    macs += last * filter;
    activations += last;
    width = channels;
  }
  const saved = relu ? activations : size * size * inputs + activations - last;
  return [weights, weights + (bias ? layers * channels : 0n), macs, activations, 4n * saved, 1n + layers * (kernel - 1n), relu ? layers : 0n, left(layers)];
}

export class Bargain {
  constructor(begin) {
    this.begin = begin;
    this.defaults = { k: String(begin.kernel), c: String(begin.channels), side: String(begin.size) };
    for (const slider of all("[data-slide]")) {
      slider.addEventListener("input", () => {
        const key = slider.dataset.slide;
        set({ [key]: key === "k" ? String(begin.kernels[Number(slider.value)]) : slider.value });
      });
    }
  }

  /** What the state asks for, or where it makes no sense what the page began with. */
  chosen() {
    const whole = (key, most) => (/^[1-9]\d{0,5}$/.test(state[key]) && Number(state[key]) <= most ? state[key] : this.defaults[key]);
    const kernel = this.begin.kernels.includes(Number(state.k)) ? state.k : this.defaults.k;
    return { k: kernel, c: whole("c", 100000), side: whole("side", 10000) };
  }

  show() {
    const { k, c, side } = this.chosen();
    const values = { k: `${k}×${k}`, c: exact(c), side: `${side}×${side}` };
    for (const slider of all("[data-slide]")) {
      const key = slider.dataset.slide;
      slider.value = key === "k" ? String(this.begin.kernels.indexOf(Number(k))) : { c, side }[key];
      slider.setAttribute("aria-valuetext", values[key]);
      find(`[data-shown=${key}]`).textContent = values[key];
    }
    const [kernel, channels, size] = [BigInt(k), BigInt(c), BigInt(side)];
    const { begin } = this;
    const inputs = begin.in_channels === begin.channels ? channels : BigInt(begin.in_channels);
    const layers = (kernel - 1n) / 2n;
    const given = { channels, inputs, size, bias: begin.bias, relu: begin.relu, same: begin.same };
    const sides = [sideOf(kernel, 1n, given), sideOf(3n, layers, given)];
    const [single, stack] = [`one ${k}×${k}`, `${layers} × 3×3`];
    const table = find("table.bargain");
    [table.tHead.rows[0].cells[1].textContent, table.tHead.rows[0].cells[2].textContent] = [single, stack];
    for (const [at, row] of [...table.tBodies[0].rows].entries()) {
      const [a, b] = sides.map((values_) => values_?.[at] ?? null);
      const texts = a === null || b === null ? ["–", "–", ""] : [exact(a), exact(b), a ? times(b, a) : ""];
      for (const [i, text] of texts.entries()) row.cells[i + 1].textContent = text;
    }
    for (const figure of all("[data-kernel]")) figure.hidden = figure.dataset.kernel !== k;
    for (const line of all("svg.curves .now")) line.classList.toggle("selected", line.dataset.at === k);
    find("#setting").textContent = this.setting(given, k === this.defaults.k && c === this.defaults.c && side === this.defaults.side, sides);
    const sentences = this.sentences(kernel, layers, size, channels, inputs);
    find("#says").replaceChildren(...sentences.map((text) => make("li", {}, text)));
    const lead = find("#lead");
    if (lead) lead.textContent = sentences[0];
  }

  setting({ channels, inputs, size, bias, relu, same }, first, sides) {
    if (first) return this.begin.setting;
    if (sides.includes(null)) return `A map of ${size}×${size} is too small for this kernel without padding.`;
    const ends = channels === inputs ? `${exact(channels)} channels` : `${exact(inputs)} → ${exact(channels)} channels`;
    const padding = same ? "padded to the same size" : "without padding";
    const biases = bias ? "with bias" : "biases left out";
    const activation = relu ? "a ReLU in place after each layer" : "no ReLU";
    return `${ends}, input ${size}×${size}, ${padding}, ${biases}, ${activation}; float32, one image; by the closed form.`;
  }

  sentences(kernel, layers, size, channels, inputs) {
    const [single, stack] = [kernel * kernel, 9n * layers];
    const saved = single - stack;
    const fewer = saved ? `${saved}C² fewer, the ${kernel}×${kernel} has ${divided(saved, 100n, stack)}% more` : "the same layer";
    const count = NUMERALS[layers] ?? layers;
    const [one, many] = [size - (kernel - 1n), size - 2n * layers];
    const steps = `(n − ${kernel})/1 + 1 = n − ${kernel - 1n}, and ${layers} steps of (n − 3)/1 + 1 = n − ${2n * layers}`;
    const found = [
      `Weights: ${count} 3×3: ${stack}C² weights; one ${kernel}×${kernel}: ${single}C²; ${fewer}.`,
      `Output without padding: ${steps}${one > 0n ? `: ${one} and ${many} for n = ${size}.` : "."}`,
      `The price: the stack makes ${layers} maps where the single layer makes one, so at equal map size it has ${layers} times the activations and keeps as many times the bytes for the backward pass.`,
    ];
    if (layers > 1n) {
      const [over, under] = reduced(single - 9n, 9n * (layers - 1n));
      const ratio = under === 1n ? String(over) : `${over}/${under}`;
      const about = times(over, under).slice(1);
      const here = times(channels, inputs).slice(1);
      found.push(`Where the widths differ: the stack stops being cheaper in weights when C_out/C_in reaches ${ratio} = ${about}; here it is ${here}.`);
    }
    return found;
  }
}

/** A fraction in lowest terms. */
function reduced(over, under) {
  let [a, b] = [over, under];
  while (b) [a, b] = [b, a % b];
  return [over / a, under / a];
}
