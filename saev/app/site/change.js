// The sliders, and the question that they are: an edit is asked for together with its controls.

import { $, el, options, say } from "./dom.js";
import { arrays, post, Pump } from "./net.js";
import { change, state } from "./state.js";

const KINDS = { set: "set to", ablate: "take out", scale: "multiply by", add: "raise by", clamp: "hold below" };
const PLACES = { selected: "chosen patches", active: "where it fires", all: "everywhere", cls: "cls token" };
const UNITS = { scale: "× its code", ablate: "" };

let found = () => {};
export const pump = new Pump(
  async (question, signal) => arrays(post("edit", question, signal)),
  (answer, question) => found(answer, question),
  (error) => say(error.message, true),
);

export function onFound(listener) {
  found = listener;
}

export function choices(cell, study) {
  options($("kind"), study.kinds.map((kind) => [kind, KINDS[kind] ?? kind]));
  const places = study.places.filter((place) => place !== "cls" || cell.reads.includes("cls"));
  options($("place"), places.filter((place) => place !== "selected" || cell.reads.includes("patch")).map((place) => [place, PLACES[place] ?? place]));
  options($("target"), cell.classes.map((name, c) => [String(c), name]));
}

export const UNKNOWN = 65535;

// What is meant where nothing is said: of the target what the first feature was chosen for, if that shows here,
// or the commonest class of the chosen patches.
export function placed({ place, patches }) {
  return place || (patches.length ? "selected" : "all");
}

export function targeted({ target, edits, patches }, cell, { labels: [before], truth }) {
  if (target !== "") return Number(target);
  const of = edits.length ? (cell.chosen[edits[0].latent] ?? []).map((one) => cell.classes.indexOf(one.name)) : [];
  const shown = of.find((c) => c >= 0 && (truth.includes(c) || before.includes(c)));
  if (shown !== undefined) return shown;
  const at = cell.of_patches && patches.length ? patches : [...before.keys()];
  const known = at.filter((u) => truth[u] !== UNKNOWN);
  const counts = new Map();
  for (const c of known.length ? known.map((u) => truth[u]) : at.map((u) => before[u])) counts.set(c, (counts.get(c) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0][0];
}

// While a slider is dragged one control goes along, which keeps pace; at rest there are both.
export function ask(cell, study, target, settled = true) {
  const { image, edits, kind, patches, seed } = state();
  if (!edits.length || cell.unable) return pump.stop();
  const latents = edits.map((one) => one.latent);
  const strengths = edits.map((one) => one.strength);
  const controls = settled ? study.controls : study.controls.slice(0, 1);
  const edit = { latents, strengths, kind, place: placed(state()), patches, seed: Number(seed), target, controls };
  pump.ask({ cell: cell.name, image, edit });
}

const set = (latent, strength, settle) => {
  const edits = state().edits.map((one) => (one.latent === latent ? { latent, strength } : one));
  dragging = !settle;
  change({ edits });
  dragging = false;
};

let dragging = false;
export const isDragging = () => dragging;

// One line a feature: kept while it is dragged, since a new element would let go of the pointer.
export function sliders({ edits, kind }, summaries, limit, rest) {
  const box = $("sliders");
  const wanted = edits.map((one) => String(one.latent)).join();
  if (box.dataset.of !== wanted) {
    box.dataset.of = wanted;
    box.replaceChildren(...edits.map(({ latent }) => slider(latent, summaries, limit, rest)));
    if (!edits.length) {
      box.append(el("p", { class: "soft" }, "Choose patches, then “Edit” beside a feature that fires there. Its strength is slid here, and what the model says appears beside what it says under a control."));
    }
  }
  for (const { latent, strength } of edits) {
    const line = box.querySelector(`[data-latent="${latent}"]`);
    const [range, number] = line.querySelectorAll("input");
    for (const input of [range, number]) {
      if (Number(input.value) !== strength || input.value === "") input.value = strength;
      input.disabled = kind === "ablate";
    }
    line.querySelector(".plain").textContent = summaries(latent);
    range.setAttribute("aria-valuetext", `${strength} ${UNITS[kind] ?? "times its maximum"}`);
    line.querySelector(".unit").textContent = UNITS[kind] ?? "× its maximum";
  }
}

function slider(latent, summaries, limit, rest) {
  const bounds = { min: -limit, max: limit, step: 0.1 };
  const name = summaries(latent);
  const range = el("input", {
    type: "range",
    ...bounds,
    "aria-label": `Strength of feature ${latent}`,
    oninput: (event) => set(latent, Number(event.target.value), false),
    onchange: () => rest(),
  });
  const number = el("input", {
    type: "number",
    ...bounds,
    "aria-label": `Strength of feature ${latent}, as a number`,
    onchange: (event) => {
      const value = Number(event.target.value);
      if (event.target.value === "" || !(Math.abs(value) <= limit)) {
        say(`a strength is a number from −${limit} to ${limit}`, true);
        event.target.value = state().edits.find((one) => one.latent === latent).strength;
      } else set(latent, value, true);
    },
  });
  const away = el("button", { type: "button", "aria-label": `Take feature ${latent} off`, onclick: () => change({ edits: state().edits.filter((one) => one.latent !== latent) }) }, "×");
  const label = el("button", { type: "button", class: "plain", onclick: () => change({ feature: String(latent) }) }, name);
  return el(
    "div",
    { class: "slider", "data-latent": latent, role: "group", "aria-label": `Feature ${name}` },
    label,
    away,
    range,
    el("span", { class: "value" }, number, el("span", { class: "unit" })),
  );
}
