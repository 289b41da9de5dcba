/* The fields above the list. Every change is a change of the address. */
(function (atlas) {
  "use strict";
  const { h } = atlas, { SORTS, STATES } = atlas.select;

  const WAIT = 120;  // ms after the last letter, before the list follows

  function field(words, control, hint) {
    return h("label", { class: "field", title: hint }, h("span", {}, words), control);
  }

  function choice(query, key, options, change) {
    return h("select", { name: key, onchange: (event) => change({ [key]: event.target.value }) },
      options.map(([value, words]) => h("option", { value, selected: value === (query[key] || "") }, words)));
  }

  function amount(query, key, words, change) {
    return h("input", {
      name: key, type: "number", step: "any", min: 0, value: query[key], placeholder: words, "aria-label": `${words}`,
      onchange: (event) => change({ [key]: event.target.value }),
    });
  }

  function search(cell, query, change) {
    let waiting = null;
    const typed = (event) => {
      clearTimeout(waiting);
      const { value } = event.target;
      waiting = setTimeout(() => change({ q: value }), WAIT);
    };
    return h("input", {
      id: "search", type: "search", name: "q", value: query.q || "", autocomplete: "off", spellcheck: "false",
      placeholder: cell.concepts.length ? `a concept (${cell.concepts.slice(0, 3).map((of) => of.name).join(", ")}, …), a note, a number` : "a note, a number",
      "aria-label": "Search by concept, note or number", "aria-keyshortcuts": "/", oninput: typed,
      onkeydown: (event) => { if (event.key === "Enter") { clearTimeout(waiting); change({ q: event.target.value }); } },
    });
  }

  function filters(cell, query, change) {
    const levels = cell.columns.level ? [...new Set(cell.columns.level)].sort((a, b) => a - b) : [];
    const concepts = cell.concepts.map((of) => [`${of.kind}/${of.name}`, `${of.name} (${of.kind})`]);
    return h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      search(cell, query, change),
      h("div", { class: "fields" },
        concepts.length > 0 && field("Concept", choice(query, "concept", [["", "any"], ...concepts], change)),
        concepts.length > 0 && field("Chance", choice(query, "chance", [["", "any"], ["0.05", "at most 0.05"], ["0.02", "at most 0.02"], ["0.01", "at most 0.01"]], change),
          "q of the probe where it chose the latent, else p for the best of all latents"),
        field("Latents", choice(query, "state", Object.entries(STATES), change)),
        field("Fires on, %", h("span", { class: "range" }, amount(query, "often", "least", change), "–", amount(query, "rare", "most", change))),
        cell.seeds.length > 0 && field("Like another seed's, at least", amount(query, "stable", "cosine", change)),
        levels.length > 1 && field("Level", choice(query, "level", [["", "any"], ...levels.map((level) => [String(level), String(level + 1)])], change)),
        field("Order", h("span", { class: "range" },
          choice({ sort: query.sort || "evidence" }, "sort", Object.entries(SORTS).map(([key, of]) => [key, of.words]), change),
          h("button", {
            type: "button", class: "direction", "aria-pressed": String(Boolean(query.up)),
            "aria-label": "Smallest first", title: "Smallest first", onclick: () => change({ up: query.up ? "" : "1" }),
          }, query.up ? "↑" : "↓")))));
  }

  atlas.filters = filters;
})(window.atlas);
