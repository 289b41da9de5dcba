// The same image, and the same patches, in two cells side by side.

import { $, el, percent } from "./dom.js";
import { marks } from "./colours.js";
import { classMap, thumbnail } from "./maps.js";
import { arrays, get, json, Latest, picture } from "./net.js";
import { runs } from "./state.js";
import { title } from "./features.js";

const latest = new Latest();
const SHOWN = 4;

export async function compare(cells, { image, patches, by }, pick) {
  const sides = await latest.run((signal) => Promise.all(cells.map((cell) => side(cell, { image, patches: across(patches, cells[0], cell), by }, signal))));
  if (!sides) return;
  const maps = sides.map((one) => one.look.arrays.labels?.[0]).filter(Boolean);
  const sameClasses = cells[0].classes.join() === cells[1].classes.join();
  const shared = sameClasses ? marks(maps) : null;
  $("sides").replaceChildren(...sides.map((one, i) => drawn(cells[i], one, image, shared, i ? pick : null)));
}

// Patches of one grid, as those of another that hold their middles.
export function across(patches, from, to) {
  const [[rows, columns], [r, c]] = [from.grid, to.grid];
  const scaled = patches.map((p) => {
    const row = Math.floor(((Math.floor(p / columns) + 0.5) / rows) * r);
    return row * c + Math.floor((((p % columns) + 0.5) / columns) * c);
  });
  return [...new Set(scaled)];
}

async function side(cell, { image, patches, by }, signal) {
  const asked = { cell: cell.name, image };
  const [look, rows] = await Promise.all([arrays(get("look", asked, signal)), json(get("features", { ...asked, patches: runs(patches), by }, signal))]);
  const top = rows.slice(0, SHOWN);
  const cards = await Promise.all(top.map((row) => arrays(get("feature", { ...asked, latent: row.latent }, signal))));
  return { look, top, cards };
}

function drawn(cell, { look, top, cards }, image, shared, pick) {
  const labels = look.arrays.labels?.[0];
  const map = el("canvas", { role: "img", "aria-label": `Predicted classes in ${cell.name}` });
  const of = labels ? (shared ?? marks([labels])) : null;
  if (labels && cell.of_patches) classMap(map, labels, null, cell.grid, of, 168);
  const names = labels ? [...new Set(labels)].sort((a, b) => of.get(a).number - of.get(b).number) : [];
  const legend = names.slice(0, 8).map((c) => {
    const chip = el("span", { class: "chip" }, String(of.get(c).number));
    chip.style.background = of.get(c).colour;
    const told = cell.of_patches ? percent(labels.filter((l) => l === c).length / labels.length) : percent(look.arrays.probabilities[0][c]);
    return el("li", {}, chip, `${cell.classes[c]} `, el("small", {}, told));
  });
  const features = top.map((row, i) => {
    const canvas = el("canvas", { width: 84, height: 84, role: "img", "aria-label": `Where feature ${row.latent} fires` });
    thumbnail(canvas, picture(cell.name, image), cards[i].arrays.heat, cell.grid, 0, 84).catch(() => {});
    return el("li", {}, canvas, el("small", {}, title(row)));
  });
  return el(
    "article",
    { class: "side", "data-cell": cell.name },
    el("div", { class: "row between" }, el("h3", {}, cell.name), pick ? el("button", { type: "button", onclick: pick }, "Work in this one") : null),
    el("div", { class: "row top" }, labels && cell.of_patches ? map : null, el("ul", { class: "legend" }, ...legend)),
    el("h4", {}, "Strongest on the chosen patches, where they fire"),
    el("ul", { class: "gallery" }, ...features),
  );
}
