// Pictures of patches: class maps with the changed patches marked, heat over an image.

import { css } from "./dom.js";

const DENSITY = Math.min(3, window.devicePixelRatio || 1);

// A context in which one unit is a CSS pixel.
export function sized(canvas, width, height) {
  canvas.width = Math.round(width * DENSITY);
  canvas.height = Math.round(height * DENSITY);
  canvas.style.aspectRatio = `${width} / ${height}`;
  const context = canvas.getContext("2d");
  context.scale(DENSITY, DENSITY);
  return context;
}

const images = new Map();

// The image, loaded once.
export function loaded(address) {
  if (!images.has(address)) {
    if (images.size > 300) images.delete(images.keys().next().value);
    images.set(
      address,
      new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = () => resolve(image);
        image.onerror = () => {
          images.delete(address);
          reject(new Error("the picture could not be loaded"));
        };
        image.src = address;
      }),
    );
  }
  return images.get(address);
}

// Lines around every patch that is in and whose neighbour is not.
function edges(isIn, [rows, columns], cell, line) {
  const inside = (r, c) => r >= 0 && c >= 0 && r < rows && c < columns && isIn(r * columns + c);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      if (!inside(r, c)) continue;
      const [x, y] = [c * cell.w, r * cell.h];
      if (!inside(r - 1, c)) line(x, y, x + cell.w, y);
      if (!inside(r + 1, c)) line(x, y + cell.h, x + cell.w, y + cell.h);
      if (!inside(r, c - 1)) line(x, y, x, y + cell.h);
      if (!inside(r, c + 1)) line(x + cell.w, y, x + cell.w, y + cell.h);
    }
  }
}

// Black on white, so that it is seen on any picture.
export function outline(context, isIn, grid, cell, width = 1.6) {
  for (const [colour, wide] of [
    ["#fff", width + 2],
    ["#000", width],
  ]) {
    context.beginPath();
    edges(isIn, grid, cell, (x0, y0, x1, y1) => {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    });
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.lineCap = "square";
    context.stroke();
  }
}

function hatch(context, isIn, [rows, columns], cell) {
  context.save();
  context.beginPath();
  for (let i = 0; i < rows * columns; i++) {
    if (isIn(i)) context.rect((i % columns) * cell.w, Math.floor(i / columns) * cell.h, cell.w, cell.h);
  }
  context.clip();
  const [width, height] = [columns * cell.w, rows * cell.h];
  for (const [colour, wide, shift] of [
    ["rgb(255 255 255 / .75)", 1.2, 1.2],
    ["rgb(0 0 0 / .75)", 1.2, 0],
  ]) {
    context.beginPath();
    for (let x = -height; x < width; x += 7) {
      context.moveTo(x + shift, height);
      context.lineTo(x + height + shift, 0);
    }
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.stroke();
  }
  context.restore();
}

// The class of every patch; those that are not as before are hatched and outlined.
export function classMap(canvas, labels, before, grid, marks, side = 208) {
  const [rows, columns] = grid;
  const cell = { w: side / columns, h: side / columns };
  const context = sized(canvas, side, cell.h * rows);
  labels.forEach((c, i) => {
    context.fillStyle = marks.get(c).colour;
    context.fillRect((i % columns) * cell.w, Math.floor(i / columns) * cell.h, cell.w + 0.3, cell.h + 0.3);
  });
  numbers(context, labels, grid, cell, marks);
  if (!before) return;
  const changed = (i) => labels[i] !== before[i];
  hatch(context, changed, grid, cell);
  outline(context, changed, grid, cell);
}

// The number of a class, once in the middle of each of its larger regions.
function numbers(context, labels, [rows, columns], cell, marks) {
  const seen = new Uint8Array(labels.length);
  context.font = `600 ${Math.max(9, Math.min(13, cell.h))}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let start = 0; start < labels.length; start++) {
    if (seen[start]) continue;
    const region = [start];
    seen[start] = 1;
    for (const i of region) {
      const near = [i - columns, i + columns, i % columns ? i - 1 : -1, (i + 1) % columns ? i + 1 : -1];
      for (const j of near) {
        if (j >= 0 && j < labels.length && !seen[j] && labels[j] === labels[i]) {
          seen[j] = 1;
          region.push(j);
        }
      }
    }
    if (region.length < Math.max(2, labels.length / 40)) continue;
    const row = region.reduce((sum, i) => sum + Math.floor(i / columns), 0) / region.length;
    const column = region.reduce((sum, i) => sum + (i % columns), 0) / region.length;
    const apart = (i) => (Math.floor(i / columns) - row) ** 2 + ((i % columns) - column) ** 2;
    const middle = region.reduce((best, i) => (apart(i) < apart(best) ? i : best), start);
    const [x, y] = [((middle % columns) + 0.5) * cell.w, (Math.floor(middle / columns) + 0.55) * cell.h];
    const text = String(marks.get(labels[start]).number);
    context.lineWidth = 3;
    context.strokeStyle = "rgb(255 255 255 / .9)";
    context.strokeText(text, x, y);
    context.fillStyle = "#000";
    context.fillText(text, x, y);
  }
}

// Where a feature fires: elsewhere the image is dimmed, so that it shows without colour too.
export function heat(context, codes, [rows, columns], width, height, most) {
  const cell = { w: width / columns, h: height / rows };
  const top = most || Math.max(...codes, 1e-9);
  const accent = css("--heat");
  codes.forEach((code, i) => {
    const level = Math.min(1, code / top);
    context.fillStyle = `rgb(0 0 0 / ${(0.42 * (1 - level) ** 2).toFixed(3)})`;
    const box = [(i % columns) * cell.w, Math.floor(i / columns) * cell.h, cell.w + 0.3, cell.h + 0.3];
    context.fillRect(...box);
    if (level > 0) {
      context.globalAlpha = 0.5 * level;
      context.fillStyle = accent;
      context.fillRect(...box);
      context.globalAlpha = 1;
    }
  });
}

// A small picture of an image with the heat over it.
export async function thumbnail(canvas, address, codes, grid, most, side = 96) {
  const image = await loaded(address);
  const height = (side * image.height) / image.width;
  const context = sized(canvas, side, height);
  context.drawImage(image, 0, 0, side, height);
  if (codes) {
    heat(context, codes, grid, side, height, most);
  }
}
