/* A latent: what it is, how sure that is, what editing it does, and the images that say so. */
(function (atlas) {
  "use strict";
  const { h, section } = atlas, { number, percent, title, what, sure, editing, cellName, whole, dead } = atlas.words;

  async function card(route, main) {
    const cell = await atlas.cell(route.cell), s = Number(route.latent);
    if (!Number.isInteger(s) || s < 0 || s >= cell.latents) throw new Error(`${cell.name} has the latents 0 to ${cell.latents - 1}, not ${route.latent}.`);
    const began = performance.now(), detail = await atlas.detail(cell, s);
    main.replaceChildren(h("article", { class: "card" },
      navigation(cell, route, s),
      ...summary(cell, s, detail),
      atlas.card.images(cell, s, detail),
      atlas.evidence.meaning(cell, detail),
      atlas.evidence.edits(cell, detail),
      atlas.evidence.causes(cell, detail),
      atlas.evidence.codes(cell, s, detail),
      atlas.evidence.neighbours(cell, route, detail)));
    atlas.timing = { card: performance.now() - began };
    return `Latent ${s}: ${title(cell, s)}, ${cellName(cell)}`;
  }

  /* The latent before and after, in the order of the list that it was opened from. */
  function beside(cell, route, s) {
    const found = atlas.select.select(cell, route.query), at = found.indexOf(s);
    return at < 0 ? [null, null] : [found[at - 1], found[at + 1]];
  }

  function navigation(cell, route, s) {
    const [before, after] = beside(cell, route, s);
    const to = (latent, words, rel) => latent !== undefined && latent !== null && h("a", {
      rel, href: atlas.route.format({ ...route, latent }), "aria-label": `${rel === "prev" ? "Before" : "After"} it in the list: latent ${latent}`,
    }, words);
    return h("nav", { class: "bar", "aria-label": "In the list" },
      h("a", { href: atlas.route.format({ view: "list", cell: cell.name, query: route.query }) }, "All latents"),
      h("span", { class: "pager" }, to(before, "‹ before", "prev"), to(after, "after ›", "next")));
  }

  /* What a stranger reads first. */
  function summary(cell, s, detail) {
    const c = cell.columns, units = cell.grid ? "patches" : "tokens";
    const facts = dead(cell, s) ? [] : [
      ["fires on", `${percent(c.frequency[s])} of the training ${units}, ${percent(c.images[s])} of the images`],
      ["codes", `${number(c.mean[s])} on average where it fires, at most ${number(c.maximum[s])}`],
      c.level && ["level", `${c.level[s] + 1} of a nested dictionary`],
    ].filter(Boolean);
    return [
      h("p", { class: "soft eyebrow" }, cellName(cell)),
      h("h1", {}, `Latent ${s} `, h("span", { class: "named" }, title(cell, s))),
      h("dl", { class: "verdicts" },
        h("div", {}, h("dt", {}, "What it is"), h("dd", {}, what(cell, s))),
        sure(cell, s) && h("div", {}, h("dt", {}, "How sure"), h("dd", {}, sure(cell, s))),
        h("div", {}, h("dt", {}, "If edited"), h("dd", {}, editing(cell, detail.told))),
        detail.told.note && h("div", {}, h("dt", {}, "Note"), h("dd", { class: "note" }, detail.told.note))),
      h("dl", { class: "facts" }, facts.map(([words, value]) => h("div", {}, h("dt", {}, words), h("dd", {}, value)))),
    ];
  }

  function images(cell, s, detail) {
    if (!detail.strongest.length) return null;
    const maximum = cell.columns.maximum[s], all = [];
    const row = (shown) => h("div", { class: "exemplars" }, shown.map((one) => exemplar(cell, one, maximum, all)));
    const plain = h("input", { type: "checkbox", checked: true, onchange: (event) => all.forEach((canvas) => canvas.redraw({ plain: !event.target.checked })) });
    return section("images", "Images that it fires on",
      h("p", { class: "bar" }, h("label", {}, plain, " heat maps"), atlas.pictures.legend()),
      h("h3", {}, "Where it is strongest"), row(detail.strongest),
      h("h3", {}, "Over the whole range, from its strongest image to its weakest"), row(detail.spread),
      h("p", { class: "soft" }, `Training images, of ${whole(cell.images.train)}; the second row is evenly spaced by rank among the images on which it fires: the strongest alone hide that weak codes may mean another thing.`));
  }

  function exemplar(cell, one, maximum, all) {
    const share = percent(one.peak / maximum), canvas = atlas.pictures.picture(
      cell.albums.train, one.image, `Training image ${one.image}, largest code ${number(one.peak)}, ${share} of the latent's largest; fires on ${one.token.length} patches`,
      { grid: cell.grid, map: one, frame: atlas.pictures.strongest(one) });
    all.push(canvas);
    const show = (plain) => () => canvas.redraw({ plain });
    return h("figure", { onpointerenter: show(true), onpointerleave: show(false) }, canvas,
      h("figcaption", {}, h("b", {}, number(one.peak)), ` ${share}`));
  }

  atlas.card = card;
  Object.assign(atlas.card, { images, summary, beside });
})(window.atlas);
