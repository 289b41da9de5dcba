// The list of features, and the card of one: where it fires, what it was chosen for, and how sure that is.

import { $, el, percent, share } from "./dom.js";
import { thumbnail } from "./maps.js";
import { picture } from "./net.js";

// "cat, F1 .27 (.16 to .45)", and whether it beats its null
export function claim(row) {
  const interval = row.low === null || row.low === undefined ? "" : ` (${share(row.low)} to ${share(row.high)})`;
  return `${row.name}, F1 ${share(row.f1)}${interval}`;
}

const sure = (row) => row.q !== null && row.q !== undefined && row.q <= 0.05;

export function title(row) {
  const best = row.claims[0];
  return best ? `${row.latent} · ${best.name}${sure(best) ? "" : " ?"}` : String(row.latent);
}

export function list(rows, chosen, { pick, add, used }) {
  const most = Math.max(...rows.map((row) => row.code ?? 0), 1e-9);
  $("list").replaceChildren(
    ...rows.map((row) => {
      const level = row.code === undefined ? null : el("span", { class: "level", "aria-hidden": "true" });
      if (level) level.style.setProperty("--part", row.code / most);
      const words = [`fires on ${percent(row.density)}`];
      if (row.code !== undefined) words.unshift(`code ${row.code.toFixed(2)}`);
      const show = el(
        "button",
        {
          type: "button",
          class: "feature",
          "aria-pressed": String(String(row.latent) === chosen),
          onclick: () => pick(row.latent),
        },
        el("strong", {}, title(row)),
        el("small", {}, words.join(" · ")),
        level,
      );
      const taken = used.has(row.latent);
      const slide = el(
        "button",
        { type: "button", class: "add", disabled: taken, onclick: () => add(row.latent), "aria-label": `Edit feature ${row.latent}` },
        taken ? "in use" : "Edit",
      );
      return el("li", {}, show, slide);
    }),
  );
  if (!rows.length) $("list").append(el("li", { class: "soft" }, "No feature."));
}

export function card(found, { cell, open, add, used, note, notes }) {
  const { latent, claims, exemplars, strongest } = found;
  const evidence = claims.map((row) =>
    el(
      "li",
      { class: sure(row) ? null : "doubt" },
      claim(row),
      el("small", {}, `shuffled labels ${share(row.shuffled)}, q ${row.q === null || row.q === undefined ? "–" : row.q.toFixed(3)}` + (sure(row) ? "" : ": no better than its null")),
    ),
  );
  const own = el("textarea", { rows: 2, maxlength: 4000, "aria-label": `Note on feature ${latent}` });
  own.value = notes[latent] ?? "";
  const here = found.beside_patches.map((code) => code.toFixed(2)).join(", ");
  $("card").replaceChildren(
    el("h3", {}, `Feature ${latent}`),
    el(
      "p",
      { class: "soft" },
      `Fires on ${percent(found.density)} of training tokens, at most ${found.maximum.toFixed(1)}; here at most ${found.here.toFixed(1)}.`,
      here ? ` On tokens that are no patches: ${here}.` : "",
    ),
    el("ul", { class: "evidence" }, ...(evidence.length ? evidence : [el("li", { class: "soft" }, "Chosen for no concept: nothing is claimed of it.")])),
    el("button", { type: "button", class: "main", disabled: used.has(latent), onclick: () => add(latent) }, used.has(latent) ? "In use below" : "Edit it"),
    el("h4", {}, exemplars.length ? "Strongest in validation" : "Silent in validation"),
    gallery(cell, exemplars, found.arrays.maps, open, (i) => `code ${strongest[i].toFixed(1)}`),
    el("details", { open: own.value !== "" }, el("summary", {}, "Note"), own, el("button", { type: "button", onclick: () => note(latent, own.value) }, "Keep the note")),
  );
}

export function alike(found, { cell, open, close }) {
  $("card").replaceChildren(
    el("div", { class: "row between" }, el("h3", {}, "What else looks like these patches"), el("button", { type: "button", onclick: close }, "Close")),
    el("p", { class: "soft" }, "Validation images with the patch whose codes have the largest cosine with the mean code of the chosen ones."),
    gallery(cell, found.exemplars, found.arrays.maps, open, (i) => `cosine ${share(found.strongest[i])}`),
  );
}

export function blank(words) {
  $("card").replaceChildren(el("p", { class: "soft" }, words));
}

function gallery(cell, images, maps, open, told) {
  const most = Math.max(...maps.map((map) => Math.max(...map)), 0);
  return el(
    "ul",
    { class: "gallery" },
    ...images.map((image, i) => {
      const canvas = el("canvas", { width: 96, height: 96 });
      thumbnail(canvas, picture(cell.name, image), maps[i], cell.grid, most).catch(() => {});
      const label = `Image ${image}, ${told(i)}: open it`;
      return el("li", {}, el("button", { type: "button", "aria-label": label, title: label, onclick: () => open(image) }, canvas), el("small", {}, told(i)));
    }),
  );
}
