/* Two cells side by side: their scores, the latent that each has for a concept, and a card of each. */
(function (atlas) {
  "use strict";
  const { h, table } = atlas, { fixed, percent, interval, whole, cellName, CLAIMED } = atlas.words;

  async function compare(route, main) {
    const names = atlas.index().cells.map((cell) => cell.name), { query } = route;
    const chosen = { a: query.a || names[0], b: query.b || names[Math.min(1, names.length - 1)] };
    const [a, b] = await Promise.all([chosen.a, chosen.b].map(atlas.cell));
    const change = (changes) => atlas.route.go({ ...route, query: { ...chosen, ...query, ...changes } });
    const pick = (side) => h("label", { class: "field" }, h("span", {}, side === "a" ? "Left" : "Right"),
      h("select", { name: side, onchange: (event) => change({ [side]: event.target.value, [`${side}s`]: "" }) },
        names.map((name) => h("option", { value: name, selected: name === chosen[side] }, cellName(atlas.index().cells.find((of) => of.name === name))))));
    main.replaceChildren(
      h("h1", {}, "Two cells side by side"),
      h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, h("div", { class: "fields" }, pick("a"), pick("b"))),
      scores(a, b),
      h("h2", {}, "Concept by concept"),
      concepts(a, b, change),
      h("div", { class: "columns even", id: "cards" }, ...await Promise.all([[a, query.as, "as"], [b, query.bs, "bs"]].map((side) => half(...side, change)))));
    if (query.as || query.bs) document.getElementById("cards").scrollIntoView({ block: "nearest" });
    return `${a.name} and ${b.name} side by side`;
  }

  function scores(a, b) {
    const of = (cell) => cell.scores.val, nmse = (cell) => `${fixed(of(cell).nmse, 3)} ${interval(of(cell).low, of(cell).high, 3)}`;
    const probed = (kind) => (cell) => {
      const p = cell.probed[kind];
      return p && p.concepts ? `${p.claimed} of ${p.concepts}; mean F1 ${fixed(p.f1)} ${interval(p.low, p.high)}, ${fixed(p.shuffled)} by chance` : "not asked";
    };
    const rows = [
      ["latents", (cell) => whole(cell.latents)], ["active per token (L0)", (cell) => fixed(of(cell).l0, 1)],
      ["error (NMSE)", nmse], ["dead", (cell) => percent(of(cell).dead)], ["dense", (cell) => percent(of(cell).dense)],
      ["classes that beat their null", probed("classes")], ["concepts that beat their null", probed("concepts")],
      ["backbone", (cell) => (cell.untrained ? "random weights: a floor" : "trained")],
    ];
    return table("On validation images.", ["", cellName(a), cellName(b)], rows.map(([words, show]) => [words, show(a), show(b)]), { class: "sides" });
  }

  /* Of each concept that both were asked for, the latent of each with the best evidence. */
  function concepts(a, b, change) {
    const there = new Set(b.concepts.map((of) => `${of.kind}/${of.name}`));
    const both = a.concepts.filter((of) => there.has(`${of.kind}/${of.name}`));
    if (!both.length) return h("p", {}, "They have no concept in common.");
    const show = (cell, s) => (s === null ? h("span", { class: "soft" }, "none beats its null") : h("span", { class: "side" },
      h("span", { class: "thumbs" }, atlas.list.thumbs(cell, s)), h("span", {}, h("b", {}, String(s)), h("br"), `F1 ${fixed(cell.columns.f1[s])} `,
      h("span", { class: "soft" }, interval(cell.columns.low[s], cell.columns.high[s]), `, ${fixed(cell.columns.null[s])} by chance`))));
    return table("Of each the latent that has it as its name and the largest F1.", ["concept", "left", "right", ""], both.map((of) => {
      const [s, t] = [best(a, of), best(b, of)];
      return [`${of.name} (${of.kind})`, show(a, s), show(b, t), s === null && t === null ? "" : h("button", {
        type: "button", "aria-label": `Show both latents for ${of.name}`, onclick: () => change({ as: s ?? "", bs: t ?? "" }),
      }, "show")];
    }), { class: "sides" });
  }

  function best(cell, { kind, name }) {
    const number = cell.concepts.findIndex((of) => of.kind === kind && of.name === name), { concept, f1, chance } = cell.columns;
    let found = null;
    for (let s = 0; s < cell.latents; s++) {
      if (concept[s] === number && chance[s] <= CLAIMED && (found === null || f1[s] > f1[found])) found = s;
    }
    return found;
  }

  async function half(cell, latent, key, change) {
    const field = h("label", { class: "field" }, h("span", {}, "Latent"), h("input", {
      type: "number", min: 0, max: cell.latents - 1, value: latent, name: key, onchange: (event) => change({ [key]: event.target.value }),
    }));
    const s = latent === undefined || latent === "" ? null : Number(latent);
    if (s === null || !Number.isInteger(s) || s < 0 || s >= cell.latents) return h("div", { class: "half" }, field);
    const detail = await atlas.detail(cell, s);
    return h("div", { class: "half card" }, field, ...atlas.card.summary(cell, s, detail), atlas.card.images(cell, s, detail),
      h("p", {}, h("a", { href: atlas.route.format({ view: "card", cell: cell.name, latent: s }) }, "The whole card")));
  }

  atlas.compare = compare;
})(window.atlas);
