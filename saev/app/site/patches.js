// The image with its patches, which are chosen by clicking, dragging, or the keyboard.

import { $, css, say } from "./dom.js";
import { heat, loaded, outline, sized } from "./maps.js";

const canvas = $("patches");
let shown = { image: null, grid: [1, 1], patches: [], codes: null };
let cursor = null;
let stroke = null; // while dragging: which patches it adds, or takes away
let chosen = () => {};

export function onChoice(listener) {
  chosen = listener;
}

export async function show({ address, grid, patches, codes }) {
  shown = { ...shown, grid, patches: new Set(patches), codes };
  if (address !== shown.address) {
    shown.address = address;
    shown.image = null;
    cursor = null;
    const image = await loaded(address);
    if (address !== shown.address) return;
    shown.image = image;
  }
  draw();
}

export function draw() {
  const { image, grid, patches, codes } = shown;
  if (!image) return;
  const width = 336;
  const height = (width * image.height) / image.width;
  const context = sized(canvas, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const [rows, columns] = grid;
  const cell = { w: width / columns, h: height / rows };
  if (codes) heat(context, codes, grid, width, height);
  context.strokeStyle = "rgb(255 255 255 / .22)";
  context.lineWidth = 0.5;
  context.beginPath();
  for (let c = 1; c < columns; c++) context.rect(c * cell.w, 0, 0, height);
  for (let r = 1; r < rows; r++) context.rect(0, r * cell.h, width, 0);
  context.stroke();
  const selected = stroke?.patches ?? patches;
  if (selected.size) outline(context, (i) => selected.has(i), grid, cell, 2);
  if (cursor !== null && document.activeElement === canvas) {
    context.strokeStyle = css("--accent");
    context.lineWidth = 3;
    context.setLineDash([4, 2]);
    context.strokeRect((cursor % columns) * cell.w, Math.floor(cursor / columns) * cell.h, cell.w, cell.h);
    context.setLineDash([]);
  }
  canvas.setAttribute(
    "aria-label",
    `The image in ${rows} by ${columns} patches, ${patches.size} chosen` + (codes ? ", dimmed where the feature does not fire" : ""),
  );
}

function under(event) {
  const box = canvas.getBoundingClientRect();
  const [rows, columns] = shown.grid;
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  return row >= 0 && column >= 0 && row < rows && column < columns ? row * columns + column : null;
}

function brush(event) {
  const patch = under(event);
  if (patch === null) return;
  if (stroke.adds) stroke.patches.add(patch);
  else stroke.patches.delete(patch);
  draw();
}

canvas.addEventListener("pointerdown", (event) => {
  const patch = under(event);
  if (patch === null || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  stroke = { adds: !shown.patches.has(patch), patches: new Set(shown.patches) };
  brush(event);
  event.preventDefault();
  canvas.focus({ preventScroll: true });
});
canvas.addEventListener("pointermove", (event) => stroke && brush(event));
canvas.addEventListener("pointercancel", () => {
  stroke = null;
  draw();
});
canvas.addEventListener("pointerup", () => {
  if (!stroke) return;
  const patches = [...stroke.patches];
  stroke = null;
  chosen(patches);
});

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

canvas.addEventListener("keydown", (event) => {
  const [rows, columns] = shown.grid;
  const at = cursor ?? Math.floor(rows / 2) * columns + Math.floor(columns / 2);
  if (event.key in STEPS) {
    const [down, right] = STEPS[event.key];
    const row = Math.max(0, Math.min(rows - 1, Math.floor(at / columns) + (cursor === null ? 0 : down)));
    const column = Math.max(0, Math.min(columns - 1, (at % columns) + (cursor === null ? 0 : right)));
    cursor = row * columns + column;
    if (event.shiftKey) chosen([...new Set([...shown.patches, at, cursor])]);
    const is = shown.patches.has(cursor) ? ", chosen" : "";
    say(`row ${row + 1}, column ${column + 1}${is}`);
  } else if (event.key === " ") {
    cursor = at;
    const patches = new Set(shown.patches);
    if (!patches.delete(at)) patches.add(at);
    chosen([...patches]);
  } else return;
  event.preventDefault();
  draw();
});
canvas.addEventListener("focus", draw);
canvas.addEventListener("blur", draw);
