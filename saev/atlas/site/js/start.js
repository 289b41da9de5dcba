/* The study: what it is of, its dictionaries, latents to begin with, and how to read a card. */
(function (atlas) {
  "use strict";
  const { h, table } = atlas, { fixed, percent, interval, whole, count, cellName, title } = atlas.words;

  const FIRST = 12;  // latents to begin with

  function start(route, main) {
    const { cells } = atlas.index(), latents = cells.reduce((sum, cell) => sum + cell.latents, 0);
    const data = [...new Set(cells.map((cell) => cell.data))], trained = cells.filter((cell) => !cell.untrained);
    const best = h("div", {});
    main.replaceChildren(
      h("h1", {}, `${count(latents, "latent")} of ${count(cells.length, "dictionary", "dictionaries")}`),
      h("p", { class: "lead" }, `Sparse autoencoders write each token of a vision transformer as a sum of few directions. Here is every direction that the ones of this study have learnt on ${data.join(", ")}: the images that it fires on, which concept it detects and how sure that is, and what happens when it is edited.`),
      models(cells), best, reading(trained.length < cells.length));
    if (trained.length) begin(trained[trained.length - 1], best);
    return "Atlas of sparse autoencoder latents";
  }

  function models(cells) {
    const probed = (cell, kind) => {
      const p = cell.probed[kind];
      return p && p.concepts ? `${p.claimed} of ${p.concepts}` : "–";
    };
    return atlas.section("models", "What was studied", table(
      "On validation images. NMSE: squared error over that of the mean token. Named: classes and concepts for which a latent beats the same detector under the label maps of other images.",
      ["dictionary", "latents", ["L0", "active per token"], "NMSE", "dead", "dense", "classes named", "concepts named", ""],
      cells.map((cell) => [
        [h("a", { href: atlas.route.format({ view: "list", cell: cell.name }) }, cellName(cell)), cell.untrained ? h("span", { class: "soft" }, " (random weights: a floor)") : ""],
        whole(cell.latents), fixed(cell.scores.val.l0, 1), [fixed(cell.scores.val.nmse, 3), " ", h("span", { class: "soft" }, interval(cell.scores.val.low, cell.scores.val.high, 3))],
        percent(cell.scores.val.dead), percent(cell.scores.val.dense), probed(cell, "classes"), probed(cell, "concepts"),
        cell.browse.length ? h("a", { href: atlas.route.format({ view: "image", cell: cell.name }) }, "by image") : "",
      ]), { class: "models" }));
  }

  /* Latents with the best evidence, of the last dictionary on trained weights: something to look at. */
  async function begin(record, place) {
    const cell = await atlas.cell(record.name).catch(() => null);
    if (!cell || !place.isConnected) return;
    const seen = new Set(), some = [];
    for (const s of atlas.select.select(cell, {})) {
      const name = atlas.words.named(cell, s);
      if (!name || !name.claimed || some.length >= FIRST) break;
      if (!seen.has(name.name)) { seen.add(name.name); some.push(s); }
    }
    if (!some.length) return;
    place.replaceChildren(atlas.section("begin", "To begin with",
      h("p", { class: "soft" }, `The latents with the best evidence for each name, of ${cellName(cell)}.`),
      h("div", { class: "tiles" }, some.map((s) => h("a", { class: "tile", href: atlas.route.format({ view: "card", cell: cell.name, latent: s }) },
        h("span", { class: "thumbs" }, atlas.list.thumbs(cell, s)), h("b", {}, title(cell, s)),
        h("span", { class: "soft" }, ` latent ${s}, F1 ${fixed(cell.columns.f1[s])} ${interval(cell.columns.low[s], cell.columns.high[s])}`))))));
  }

  function reading(floors) {
    const terms = [
      ["Latent, code", "A direction of the dictionary, and its weight in the sum that stands for a token. It fires where its code is above 0. Dense: it does so on more than 1 % of the patches; dead: on none."],
      ["Images", "Grey and dark where the latent is silent; coloured where it fires, the lighter the stronger, each patch one colour. Below each stands its largest code, so nothing hangs on colour. The strongest images are picked for being so: the second row shows the whole range."],
      ["F1, by chance", "How well “it fires” (or “its code is above a threshold”) detects a concept: the harmonic mean of precision and recall, on validation images. By chance: the same with the label maps of whole images exchanged among them. In brackets the 95 % interval over clusters, the independent things (photographs, patients, …) that images are of."],
      ["p, q", "p: how often the best of all latents does as well under such exchanges. q: of the latents that the probe chose on training, the share of false claims among those with so small a p. A name is given only where p or q is at most 0.05; else the card says that no concept beats its null."],
      ["Other seeds", "The same dictionary was trained again from other random numbers. A cosine near 1: the other run has the same latent. What no other run finds may be an accident."],
      ["Edits", "The code is set to a multiple of its largest, the model runs on, and answers that change are counted, on the target and elsewhere, beside a random latent and a random direction. Only an edit that does more than its controls says that the model uses the latent."],
    ];
    if (floors) terms.push(["Random weights", "A dictionary of a backbone that learnt nothing. What it finds too is no evidence of learning."]);
    return atlas.section("reading", "How to read it", h("dl", { class: "terms" }, terms.map(([term, words]) => h("div", {}, h("dt", {}, term), h("dd", {}, words)))),
      h("p", {}, "Press ", h("kbd", {}, "?"), " for the keys. Every view is a link: copy the address. Notes are files in git, ", h("code", {}, "notes/<cell>.yaml"), "."));
  }

  atlas.start = start;
})(window.atlas);
