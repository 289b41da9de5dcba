"use strict";
// Tables sort by the column whose heading is pressed; without this script they are in the order of the study.

// What is compared: the first line of a cell, as a number if it is one. Nothing measured sorts last.
function keyOf(row, column) {
  const text = row.cells[column].firstChild?.textContent.trim() ?? "";
  if (text === "\u2013") return null;
  const number = Number.parseFloat(text.replace("\u2212", "-").replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
}

// Upwards with a sign of 1, downwards with -1; null is last either way.
function order(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), undefined, {numeric: true});
}

function sort(table, heading, column) {
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
  const words = rows.some(([key]) => typeof key === "string");
  const before = heading.getAttribute("aria-sort");
  // Of numbers the largest are asked for first, words in the order of the alphabet.
  const first = words ? "ascending" : "descending";
  const now = before === first ? (words ? "descending" : "ascending") : first;
  const sign = now === "ascending" ? 1 : -1;
  rows.sort(([a], [b]) => order(a, b, sign));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", now);
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies.length !== 1 || table.tBodies[0].rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.className = "sort";
    button.ariaLabel = `Sort by ${heading.textContent}`;
    button.addEventListener("click", () => sort(table, heading, column));
    heading.append(button);
  });
}

// What is folded away opens for a link to it, and for paper.
function unfold() {
  const asked = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (asked?.tagName === "DETAILS") asked.open = true;
}
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    addEventListener("afterprint", () => { part.open = false; }, {once: true});
  }
});
