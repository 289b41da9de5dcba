// What is written into the study when it is asked for: a hypothesis, a note.

import { $, say } from "./dom.js";
import { json, post } from "./net.js";
import { state } from "./state.js";
import { placed } from "./change.js";

const dialog = $("hypothesis");
let about = null;

export function openHypothesis(cell, target) {
  const { edits, kind } = state();
  if (!edits.length) return say("slide a feature first: a hypothesis is about an edit", true);
  const strengths = new Set(edits.map((one) => one.strength));
  if (strengths.size > 1 && kind !== "ablate") return say("a hypothesis has one strength: slide the features to the same", true);
  const concept = cell.classes[target];
  about = { cell: cell.name, concept, latents: edits.map((one) => one.latent), edit: kind, strength: edits[0].strength };
  const which = about.latents.length > 1 ? `features ${about.latents.join(", ")}` : `feature ${about.latents[0]}`;
  $("h-name").value = `${concept}-${about.latents.join("-")}`.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  $("h-claim").value = `Editing ${which} (${kind}, ${about.strength} x max) changes ${concept} and leaves other classes alone.`;
  $("h-place").value = { all: "all", selected: "class" }[placed(state())] ?? "active";
  $("h-error").textContent = "";
  dialog.showModal();
}

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { cell, ...known } = about;
  const hypothesis = {
    ...known,
    name: $("h-name").value,
    claim: $("h-claim").value,
    place: $("h-place").value,
    direction: $("h-direction").value,
    smallest: Number($("h-smallest").value),
    margin: $("h-margin").value === "" ? null : Number($("h-margin").value),
  };
  try {
    const { file } = await json(post("hypothesis", { cell, hypothesis }));
    dialog.close();
    say(`Written: ${file}`);
  } catch (error) {
    $("h-error").textContent = error.message;
  }
});
$("h-cancel").addEventListener("click", () => dialog.close());

export async function keepNote(cell, latent, text) {
  try {
    const { file } = await json(post("note", { cell: cell.name, latent, text }));
    cell.notes[latent] = text;
    say(`Kept in ${file}`);
  } catch (error) {
    say(error.message, true);
  }
}
