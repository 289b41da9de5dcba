// The laboratory: what changes in the state is asked for, and shown.

import { $, el, options, say } from "./dom.js";
import { arrays, get, json, Latest, picture, post } from "./net.js";
import { change, listen, reset, runs, state, undo, undoable } from "./state.js";
import * as patches from "./patches.js";
import * as features from "./features.js";
import * as edits from "./change.js";
import { results } from "./results.js";
import { compare } from "./compare.js";
import { keepNote, openHypothesis } from "./keep.js";

const study = await json(get("study"));
const cells = new Map(); // what is known of each, once asked for
let [cell, look, card, rows] = [null, null, null, []];
let arms = {};
let similar = [];
let meant = null; // the target that the image without an attribute was told of
const [looking, listing, carding, twinning] = [new Latest(), new Latest(), new Latest(), new Latest()];

async function known(name) {
  if (!cells.has(name)) cells.set(name, await json(get("cell", { cell: name })));
  return cells.get(name);
}

const used = () => new Set(state().edits.map((one) => one.latent));
const target = () => (look?.labels ? edits.targeted(state(), cell, look) : 0);
const add = (latent) => change({ edits: [...state().edits, { latent, strength: 0 }].slice(0, study.limits.features), feature: String(latent) });
const open = (image) => change({ image: String(image), patches: [] });
const named = (latent) => features.title({ latent, claims: cell.chosen[latent] ?? [] });
const unit = () => (cell.of_patches ? "patches" : "images");

async function openCell() {
  const name = study.cells.includes(state().cell) ? state().cell : study.cells[0];
  const next = await known(name);
  if (state().cell !== name) change({ cell: name }, { step: false });
  cell = next;
  $("cell").value = name;
  edits.choices(cell, study);
  $("concepts").replaceChildren(...cell.concepts.map((concept) => el("option", { value: concept })));
  $("number").max = cell.images - 1;
  const others = study.cells.filter((other) => other !== name);
  options($("with"), [["", "nothing"], ...others.map((other) => [other, other])], state().with);
}

async function openImage() {
  const { image } = state();
  const found = await looking.run((signal) => arrays(get("look", { cell: cell.name, image }, signal)));
  if (!found) return false;
  look = { ...found.arrays, regions: found.regions };
  $("number").value = /^\d+$/.test(image) ? image : "";
  $("name").textContent = found.name;
  twins();
  return true;
}

async function showList() {
  const { image, patches: chosen, by, words } = state();
  const asked = words && !/^\d+$/.test(words) ? { cell: cell.name, words } : { cell: cell.name, image, patches: runs(chosen), by };
  const found = await listing.run((signal) => json(get("features", asked, signal)));
  if (!found) return;
  rows = found;
  $("list-title").textContent = asked.words ? `Features of “${words}”` : chosen.length ? `Features of ${chosen.length} patches` : "Features of the image";
  drawList();
}

const drawList = () => features.list(rows, state().feature, { pick: (latent) => change({ feature: String(latent) }), add, used: used() });

async function showCard() {
  const { feature, image } = state();
  if (feature === "") {
    card = null;
    features.blank("Choose a feature to see where it fires, and what is known of it.");
    return drawImage();
  }
  const found = await carding.run((signal) => arrays(get("feature", { cell: cell.name, image, latent: feature }, signal)));
  if (!found) return;
  card = found;
  drawCard();
  drawImage();
}

const drawCard = () => card && features.card(card, { cell, open, add, used: used(), notes: cell.notes, note: (latent, text) => keepNote(cell, latent, text) });

function drawImage() {
  const codes = $("heat").checked && card ? card.arrays.heat : null;
  const address = picture(cell.name, state().image);
  patches.show({ address, grid: cell.grid, patches: state().patches, codes }).catch((error) => say(error.message, true));
}

function drawChange() {
  const { kind, seed } = state();
  edits.sliders(state(), named, study.limits.strength, () => edits.ask(cell, study, target(), true));
  $("kind").value = kind;
  $("place").value = edits.placed(state());
  $("target").value = String(target());
  $("redraw").textContent = `Draw another (${Number(seed) + 1})`;
  $("save").disabled = !state().edits.length || Boolean(cell.unable);
}

function drawResults() {
  results({ cell, look, arms, target: target(), similar, twin: twinWords(), unit: unit() });
}

function askEdit(settled) {
  if (!state().edits.length || cell.unable) {
    edits.pump.stop();
    arms = arms.image ? { image: arms.image } : {};
    return drawResults();
  }
  edits.ask(cell, study, target(), settled);
}

const arm = (found, i) => ({ labels: found.arrays.labels[i], probabilities: found.arrays.probabilities[i], effect: found.effects[i] });

edits.onFound((found) => {
  const next = arms.image ? { image: arms.image } : {};
  if (arms["random direction"]) next["random direction"] = { ...arms["random direction"], stale: true };
  found.effects.forEach(({ arm: name }, i) => (next[name] = arm(found, i)));
  similar = found.similar;
  arms = next;
  drawResults();
});

// The scene with one attribute of one region toggled.
function twins() {
  const there = look.regions.length > 0 && /^\d+$/.test(state().image) && !cell.unable;
  $("twin").hidden = !there;
  if (!there) return;
  const [region, attribute] = state().twin ? state().twin.split(".") : ["", ""];
  options($("twin-region"), [["", "not shown"], ...look.regions.map((of, r) => [String(r), `region ${r + 1}, ${of.photograph}`])], region);
  const of = look.regions[Number(region) || 0];
  const told = of.could.map((name) => [name, `${of.shows.includes(name) ? "without" : "with"} ${name}`]).sort((a, b) => b[1].startsWith("without") - a[1].startsWith("without"));
  options($("twin-attribute"), told, attribute);
  $("twin-attribute").disabled = region === "";
}

function twinWords() {
  const [region, attribute] = state().twin.split(".");
  const of = look?.regions[Number(region)];
  return of ? `${of.shows.includes(attribute) ? "without" : "with"} ${attribute} on ${of.photograph}` : "";
}

async function showTwin() {
  const [region, attribute] = state().twin.split(".");
  const { image } = state();
  meant = target();
  delete arms.image;
  if (attribute && look.regions[Number(region)] && /^\d+$/.test(image) && !cell.unable) {
    const asked = { cell: cell.name, image, region, attribute, target: meant };
    const found = await twinning.run((signal) => arrays(get("twin", asked, signal)));
    if (!found) return;
    arms = { ...arms, image: arm(found, 0) };
  }
  drawResults();
}

async function showCompared() {
  const name = state().with;
  if (!study.cells.includes(name) || name === cell.name) return $("sides").replaceChildren();
  const other = await known(name);
  await compare([cell, other], state(), () => change({ cell: name, with: cell.name, edits: [], feature: "" }));
}

const any = (changed, ...keys) => keys.some((key) => changed.has(key));

async function refresh(changed) {
  if (any(changed, "cell")) await openCell();
  if (any(changed, "cell", "image")) {
    edits.pump.stop();
    arms = {};
    if (!(await openImage())) return;
    drawImage();
  }
  if (any(changed, "twin")) twins();
  if (any(changed, "patches", "feature") && !any(changed, "cell", "image")) drawImage();
  $("words").value = state().words;
  $("by").value = state().by;
  $("undo").disabled = !undoable();
  const dragging = edits.isDragging();
  const jobs = [];
  if (any(changed, "cell", "image", "patches", "by", "words")) jobs.push(showList());
  if (any(changed, "cell", "image", "feature")) jobs.push(showCard());
  drawChange();
  if (any(changed, "feature", "edits") && !dragging) {
    drawList();
    drawCard();
  }
  if (any(changed, "cell", "image", "patches", "edits", "kind", "place", "target", "seed")) askEdit(!dragging);
  if (any(changed, "cell", "image", "twin") || (arms.image && meant !== target())) jobs.push(showTwin());
  if (any(changed, "cell", "image", "patches", "by", "with")) jobs.push(showCompared());
  await Promise.all(jobs);
}

const safely = (work) => work.catch((error) => say(error.message, true));
listen((_, changed) => {
  say("");
  safely(refresh(changed));
});

async function upload(file) {
  if (file.size > study.limits.bytes) return say(`the file has ${file.size} bytes; at most ${study.limits.bytes} are taken`, true);
  const { image } = await json(post("upload", file));
  change({ image, patches: [], twin: "" });
}

patches.onChoice((chosen) => change({ patches: chosen.sort((a, b) => a - b) }));
$("cell").addEventListener("change", () => change({ cell: $("cell").value, edits: [], feature: "" }));
$("number").addEventListener("change", () => $("number").value && open(Math.max(0, Math.min(cell.images - 1, Math.floor(Number($("number").value))))));
const step = (by) => open((Number($("number").value || 0) + by + cell.images) % cell.images);
$("before-image").addEventListener("click", () => step(-1));
$("next-image").addEventListener("click", () => step(1));
$("file").addEventListener("change", () => $("file").files[0] && safely(upload($("file").files[0])));
$("clear").addEventListener("click", () => change({ patches: [] }));
$("heat").addEventListener("change", drawImage);
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $("words").value.trim();
  change(/^\d+$/.test(words) ? { words: "", feature: words } : { words });
});
$("words").addEventListener("input", () => $("words").value === "" && change({ words: "" }));
$("alike").addEventListener("click", () => {
  const asked = { cell: cell.name, image: state().image, patches: runs(state().patches) };
  const shown = carding.run((signal) => arrays(get("alike", asked, signal)));
  safely(shown.then((found) => found && features.alike(found, { cell, open, close: showCard })));
});
for (const key of ["by", "kind", "place", "target", "with"]) $(key).addEventListener("change", () => change({ [key]: $(key).value }));
$("redraw").addEventListener("click", () => change({ seed: String(Number(state().seed) + 1) }));
for (const id of ["twin-region", "twin-attribute"]) {
  $(id).addEventListener("change", () => {
    const region = $("twin-region").value;
    const of = look.regions[Number(region)];
    const wanted = id === "twin-attribute" ? $("twin-attribute").value : (of?.shows[0] ?? of?.could[0]);
    change({ twin: region === "" ? "" : `${region}.${wanted}` });
  });
}
$("save").addEventListener("click", () => openHypothesis(cell, target()));
$("undo").addEventListener("click", undo);
$("reset").addEventListener("click", reset);
$("link").addEventListener("click", () => navigator.clipboard.writeText(location.href).then(() => say("Copied."), () => say("The address of this page is the link.")));
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.target.matches("input:not([type=range]), textarea")) {
    event.preventDefault();
    undo();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => patches.draw());

options($("cell"), study.cells.map((name) => [name, name]));
await safely(refresh(new Set(Object.keys(state()))));
document.body.dataset.ready = "yes";
