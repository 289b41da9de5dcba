// All there is to remember, in the address of the page: a link restores it, and undo goes back in it.

const PLAIN = { cell: "", image: "0", feature: "", kind: "set", place: "", target: "", seed: "0", by: "strength", words: "", twin: "", with: "" };

let now = read();
let before = [];
let lately = 0;
const listeners = [];

// "1,4-6" <-> [1, 4, 5, 6]
export function runs(patches) {
  const sorted = [...patches].sort((a, b) => a - b);
  const found = [];
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (sorted[j + 1] === sorted[j] + 1) j++;
    found.push(i === j ? `${sorted[i]}` : `${sorted[i]}-${sorted[j]}`);
    i = j + 1;
  }
  return found.join(",");
}

export function unrun(text) {
  const found = [];
  for (const run of text.split(",").filter(Boolean)) {
    const [first, last] = run.split("-").map(Number);
    for (let i = first; i <= (last ?? first) && found.length < 1e5; i++) found.push(i);
  }
  return found.filter(Number.isInteger);
}

// "36:-2,7:1.5" <-> [{latent: 36, strength: -2}, ...]
function edits(text) {
  return text
    .split(",")
    .map((one) => one.split(":").map(Number))
    .filter(([latent, strength]) => Number.isInteger(latent) && Number.isFinite(strength))
    .slice(0, 16)
    .map(([latent, strength]) => ({ latent, strength: Math.max(-10, Math.min(10, strength)) }));
}

function read() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const state = {};
  for (const [key, value] of Object.entries(PLAIN)) state[key] = asked.get(key) ?? value;
  state.patches = unrun(asked.get("patches") ?? "");
  state.edits = edits(asked.get("edits") ?? "");
  return state;
}

function written(state) {
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries(PLAIN)) if (state[key] !== value) asked.set(key, state[key]);
  if (state.patches.length) asked.set("patches", runs(state.patches));
  if (state.edits.length) asked.set("edits", state.edits.map((e) => `${e.latent}:${e.strength}`).join(","));
  return asked.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
}

export const state = () => now;

export function listen(listener) {
  listeners.push(listener);
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// What is changed again within half a second, as a slider is, is one step of undo.
export function change(changes, { step = true } = {}) {
  const next = { ...now, ...changes };
  const changed = Object.keys(next).filter((key) => !same(next[key], now[key]));
  if (!changed.length) return;
  if (step) {
    const old = written(now);
    const drags = changed.length === 1 && changed[0] === "edits" && next.edits.length === now.edits.length;
    if (!drags || Date.now() - lately > 500) before.push(old);
    before = before.slice(-200);
    lately = drags ? Date.now() : 0;
  }
  now = next;
  history.replaceState(null, "", `#${written(now)}`);
  for (const listener of listeners) listener(now, new Set(changed));
}

function restore(text) {
  history.replaceState(null, "", `#${text}`);
  const next = read();
  const changed = new Set(Object.keys(next).filter((key) => !same(next[key], now[key])));
  now = next;
  for (const listener of listeners) listener(now, changed);
}

export const undoable = () => before.length > 0;

export function undo() {
  if (before.length) restore(before.pop());
}

export function reset() {
  change({ ...PLAIN, cell: now.cell, image: now.image, patches: [], edits: [] });
}

window.addEventListener("hashchange", () => {
  before.push(written(now));
  restore(location.hash.slice(1));
});
