// What the model says: before, after the edit, and after each control, with the side effects first.

import { $, el, percent, share } from "./dom.js";
import { marks } from "./colours.js";
import { classMap } from "./maps.js";
import { UNKNOWN } from "./change.js";

const ORDER = ["edit", "random latent", "random direction", "image"];

function heading(arm, { similar, twin }) {
  if (arm === "edit") return ["Edit", "the features as slid"];
  if (arm === "random latent") return ["Control", similar.length === 1 ? `feature ${similar[0]}, as frequent` : `features ${similar.join(", ")}, as frequent`];
  if (arm === "random direction") return ["Control", "random direction, as far"];
  return ["Image", twin];
}

const pair = (counted) => (counted && counted[1] ? `${counted[0]} of ${counted[1]}` : "–");
const part = (counted) => (counted && counted[1] ? percent(counted[0] / counted[1]) : "");

function cellOf(counted) {
  return el("td", {}, el("b", {}, part(counted) || "–"), " ", el("small", {}, part(counted) ? pair(counted) : ""));
}

// arms: {name: {labels, probabilities, effect, stale}}
export function results({ cell, look, arms, target, similar, twin, unit }) {
  const box = $("results");
  const shown = ORDER.filter((arm) => arms[arm]);
  if (!look.labels) {
    box.replaceChildren(el("p", { class: "soft" }, `Nothing can be edited here: ${cell.unable}.`));
    return;
  }
  const names = { similar, twin, unit };
  const maps = cell.of_patches ? figures(cell, look, arms, shown, names) : null;
  box.replaceChildren(
    ...(shown.length ? [lede(arms, cell.classes[target], cell)] : []),
    ...(maps ? [maps.figures] : []),
    ...(shown.length ? [effects(arms, shown, cell.classes[target], names)] : []),
    classes(cell, look, arms, shown, target, maps?.marks),
  );
}

function lede(arms, target, cell) {
  const { edit, ...others } = arms;
  const control = others["random latent"] ?? others["random direction"];
  if (!edit || !control) return el("p", {});
  if (!cell.of_patches) {
    const words = (arm) => `${percent(arm.effect.moved_edited ?? arm.effect.moved_beyond ?? 0)}`;
    return el("p", { id: "lede" }, `The edit moves ${words(edit)} of the probability, the control ${words(control)}.`);
  }
  const [other, alone] = [edit.effect.other, control.effect.other];
  return el(
    "p",
    { id: "lede" },
    `Side effects: of the patches that are not ${target} the edit changes ${pair(other)}, the control ${pair(alone)}. `,
    edit.effect.target[1]
      ? `Of ${target} itself it changes ${pair(edit.effect.target)}, the control ${pair(control.effect.target)}.`
      : `No patch here is ${target}.`,
  );
}

function effects(arms, shown, target, names) {
  const { unit } = names;
  const rows = [
    [`Others changed`, `${unit} that are not ${target}`, "other"],
    [`Beyond the edit`, `${unit} that were not edited themselves`, "beyond"],
    [`Target changed`, `${unit} of ${target}`, "target"],
    [`Edited and changed`, `${unit} that were edited`, "edited"],
  ];
  const head = shown.map((arm) => {
    const [word, what] = heading(arm, names);
    return el("th", { scope: "col", class: arms[arm].stale ? "stale" : null }, word, el("small", {}, what));
  });
  const body = rows.map(([word, what, key]) =>
    el("tr", {}, el("th", { scope: "row" }, word, el("small", {}, what)), ...shown.map((arm) => cellOf(arms[arm].effect[key]))),
  );
  const moved = el(
    "tr",
    {},
    el("th", { scope: "row" }, "Probability moved", el("small", {}, "beyond the edit | where edited")),
    ...shown.map((arm) => el("td", {}, `${share(arms[arm].effect.moved_beyond)} | ${share(arms[arm].effect.moved_edited)}`)),
  );
  return el("div", { class: "scroll" }, el("table", { id: "effects" }, el("caption", { class: "sr" }, "What changed"), el("thead", {}, el("tr", {}, el("td"), ...head)), el("tbody", {}, ...body, moved)));
}

function figures(cell, look, arms, shown, names) {
  const maps = [look.labels[0], ...shown.map((arm) => arms[arm].labels)];
  const of = marks(maps);
  const figure = (labels, before, [word, what], note, stale, id) => {
    const canvas = el("canvas", { role: "img", id });
    classMap(canvas, labels, before, cell.grid, of);
    const changed = before ? labels.reduce((n, c, i) => n + (c !== before[i]), 0) : 0;
    canvas.setAttribute("aria-label", before ? `${word}, ${what}: ${changed} of ${labels.length} patches changed` : "Predicted classes before");
    canvas.dataset.changed = changed;
    return el("figure", { class: stale ? "stale" : null }, canvas, el("figcaption", {}, el("b", {}, word), " ", what, note ? el("em", {}, note) : null));
  };
  const silent = (arm) => (arm !== "image" && arms[arm].effect.edited[1] === 0 ? " fires nowhere here: nothing was edited" : "");
  return {
    marks: of,
    figures: el(
      "div",
      { class: "maps" },
      figure(look.labels[0], null, ["Before", "as it is"], "", false, "map-before"),
      ...shown.map((arm) => figure(arms[arm].labels, look.labels[0], heading(arm, names), silent(arm), arms[arm].stale, `map-${arm.replace(" ", "-")}`)),
    ),
  };
}

// Of each class the patches, or the probability, in every map.
function classes(cell, look, arms, shown, target, of) {
  const columns = [look, ...shown.map((arm) => arms[arm])].map((one) => {
    if (!cell.of_patches) return one.probabilities[0] instanceof Float32Array ? one.probabilities[0] : one.probabilities;
    const counts = new Array(cell.classes.length).fill(0);
    const labels = one === look ? look.labels[0] : one.labels;
    for (const c of labels) counts[c]++;
    return counts;
  });
  const labelled = cell.of_patches && look.truth.some((c) => c !== UNKNOWN);
  const truth = cell.classes.map((_, c) => look.truth.reduce((n, label) => n + (label === c), 0));
  const most = cell.classes.map((_, c) => Math.max(labelled ? truth[c] : 0, ...columns.map((column) => column[c])));
  const shownClasses = cell.classes
    .map((name, c) => ({ name, c }))
    .filter(({ c }) => (cell.of_patches ? most[c] > 0 : true))
    .sort((a, b) => most[b.c] - most[a.c])
    .slice(0, 12);
  const told = (value) => (cell.of_patches ? String(value) : percent(value));
  const top = Math.max(...most);
  const rows = shownClasses.map(({ name, c }) => {
    const mark = of?.get(c);
    const chip = mark ? el("span", { class: "chip", "aria-hidden": "true" }, String(mark.number)) : null;
    if (chip) chip.style.background = mark.colour;
    const cells = columns.map((column, i) => {
      const bar = el("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--part", column[c] / top);
      const change = i && column[c] !== columns[0][c] ? (column[c] > columns[0][c] ? " ▲" : " ▼") : "";
      return el("td", {}, bar, told(column[c]), el("span", { class: "soft" }, change));
    });
    return el("tr", { class: c === target ? "target" : null }, el("th", { scope: "row" }, chip, name), labelled ? el("td", {}, String(truth[c])) : null, ...cells);
  });
  const words = { edit: "edit", "random latent": "control", "random direction": "direction", image: "image" };
  const head = [...(labelled ? ["true"] : []), "before", ...shown.map((arm) => words[arm])].map((word) => el("th", { scope: "col" }, word));
  const caption = cell.of_patches ? "Patches of each class" : "Probability of each class";
  return el("div", { class: "scroll" }, el("table", { class: "classes", id: "classes" }, el("caption", {}, caption), el("thead", {}, el("tr", {}, el("td"), ...head)), el("tbody", {}, ...rows)));
}
