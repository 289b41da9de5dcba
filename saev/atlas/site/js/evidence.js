/* The parts of a card below its images: numbers with their intervals and what they are by chance. */
(function (atlas) {
  "use strict";
  const { h, table, section } = atlas, { fixed, percent, number, whole, interval, chance, count, there } = atlas.words;

  /* What the probe chose it for, and which concept of each kind it detects best. */
  function meaning(cell, detail) {
    const chosen = detail.told.concepts || [], parts = [];
    if (!Object.keys(cell.probed).some((kind) => cell.probed[kind]) && !cell.concepts.length) return null;
    if (chosen.length) {
      parts.push(table(
        "Chosen as the best detector on training, measured on validation; by chance: under the label maps of other images.",
        ["concept", "F1", "95 %", "by chance", "q", "where chosen", "clusters"],
        chosen.map((row) => ({ class: row.claimed ? "" : "soft", cells: [
          [row.name, row.claimed ? "" : " (not above chance)"], fixed(row.f1), interval(row.low, row.high) || "too few clusters",
          fixed(row.null), chance(row.q), fixed(row.f1_train), whole(row.clusters),
        ] }))));
    }
    const asked = Object.entries(detail.names).filter(([, of]) => of.concept >= 0);
    if (asked.length) {
      parts.push(table(
        `Of each kind the concept that it detects best on training, by firing at all. p: how often the best of all ${whole(cell.latents)} latents does as well when label maps are exchanged, of ${whole(cell.permutations)} exchanges; an interval only where p ≤ 0.05.`,
        ["closest", "F1", "95 %", "by chance", "p"],
        asked.map(([kind, of]) => ({ class: of.p <= 0.05 ? "" : "soft", cells: [
          `${cell.concepts.filter((one) => one.kind === kind)[of.concept].name} (${kind})`,
          fixed(of.f1), interval(of.low, of.high) || atlas.words.NOTHING, fixed(of.null), chance(of.p),
        ] }))));
    }
    for (const row of detail.told.agreement || []) {
      parts.push(h("p", {}, `Where “${row.name}” is taken out of the scene and nothing else, its code falls by ${percent(row.drop)}; `
        + `${percent(row.control)} where another attribute is taken out, ${percent(row.outside)} outside the region (${count(row.pairs, "pair")} of scenes, ${count(row.photographs, "photograph")}`
        + `${there(row.q) ? `; q ${chance(row.q)} that it goes out with its concept alone` : ""}).`));
    }
    return section("meaning", "What it responds to", parts);
  }

  function codes(cell, s, detail) {
    if (!detail.histogram.count.length) return null;
    const [low, , middle, , high] = detail.quantiles;
    return section("codes", "How strongly it fires", atlas.charts.histogram(detail.histogram, cell.grid ? "patches" : "tokens"),
      h("p", { class: "soft" }, `Where it fires, half of its codes are below ${number(middle)}; the middle 80 % lie from ${number(low)} to ${number(high)}; the largest is ${number(cell.columns.maximum[s])}. Training split.`));
  }

  function edits(cell, detail) {
    const told = Object.entries(detail.told.edits || {});
    const parts = [h("p", {}, atlas.words.editing(cell, detail.told))];
    for (const [name, rows] of told) {
      for (const place of [...new Set(rows.map((row) => row.place))]) {
        const here = rows.filter((row) => row.place === place);
        parts.push(h("h3", {}, place === "all" ? `Edited on all patches: ${name}` : `Edited on the patches of the ${place}: ${name}`),
          atlas.charts.edits(here, name), table(null, ["method", "strength", `${name} changed`, "others changed", "images"],
            here.map((row) => [row.method, number(row.strength), percent(row.target), percent(row.other), whole(row.images)]), { class: "narrow" }));
      }
    }
    if (told.length) parts.push(h("p", { class: "soft" }, overall(cell)));
    return section("edits", "What editing it does", parts);
  }

  /* The same over all classes, where there are images enough for intervals. */
  function overall(cell) {
    const at = (method) => cell.edits.points.find((of) => of.method === method && of.place === "all" && of.strength === -1);
    const words = (point) => `${percent(point.target)} ${point.target_interval ? `[${point.target_interval.map(percent).join(", ")}] ` : ""}of the target and ${percent(point.other)} ${point.other_interval ? `[${point.other_interval.map(percent).join(", ")}] ` : ""}of the others`;
    const methods = [...new Set(cell.edits.points.map((of) => of.method))].filter((method) => at(method) && there(at(method).target));
    if (!methods.length) return "A strength below 0 sets a code that no such dictionary can produce: it steers, where 0 ablates.";
    return `Over all classes of the study, at −1 on all patches: ${methods.map((method) => `${method} ${words(at(method))}`).join("; ")}. A strength below 0 sets a code that no such dictionary can produce: it steers, where 0 ablates.`;
  }

  /* "Fires here" beside "caused by". */
  function causes(cell, detail) {
    const rows = detail.told.causes || [];
    if (!rows.length) return null;
    return section("causes", "Where it fires, and what causes it", rows.map((row) => {
      const figures = row.effect ? h("div", { class: "exemplars" },
        cause(cell, row.image, row.fires, "fires here"), cause(cell, row.image, row.effect, "caused by")) : null;
      return h("div", {}, figures, h("p", {}, `On validation image ${row.image} (code ${number(row.code)}): `
        + `${percent(row.elsewhere)} of what causes it lies where it does not fire, ${percent(row.beyond)} beyond the group of patches with its largest code; `
        + `rank correlation of both maps ${fixed(row.agreement)}.`));
    }), h("p", { class: "soft" }, "Cause: how much its largest code falls when a group of patches is refilled by the mean colour of the image."));
  }

  function cause(cell, image, map, words) {
    const flat = map.flat(), top = Math.max(...flat, 1e-9);
    const over = flat.map((value, token) => ({ token, level: Math.ceil(Math.max(0, value) / top * atlas.pictures.LEVELS) })).filter((of) => of.level > 0);
    const grid = [map.length, map[0].length];
    const found = { token: over.map((of) => of.token), level: over.map((of) => of.level) };
    return h("figure", {}, atlas.pictures.picture(cell.albums.val, image, `${words}, validation image ${image}`, { grid, map: found, frame: atlas.pictures.strongest(found) }),
      h("figcaption", {}, words));
  }

  /* Latents that write alike, fire together, or are the same in another seed. */
  function neighbours(cell, route, detail) {
    const link = (s) => h("a", { href: atlas.route.format({ view: "card", cell: cell.name, latent: s, query: route.query }) }, String(s));
    const rows = (latents, values, show) => Array.from(latents, (s, i) => [[link(s)], atlas.words.title(cell, s), show(values[i])]);
    return section("near", "Its neighbours", h("div", { class: "three" },
      table("Decoder rows most alike", ["latent", "name", "cosine"], rows(detail.near, detail.cosine, fixed)),
      table("Fire on the same patches", ["latent", "name", "shared"], rows(detail.together, detail.jaccard, percent)),
      detail.twin.length ? table(`Most alike in other seeds (by chance ${fixed(cell.scores.stability && cell.scores.stability.null)})`, ["seed", "latent there", "cosine"],
        Array.from(detail.twin, (s, i) => [cell.seeds[i], String(s), fixed(detail.likeness[i])])) : null));
  }

  atlas.evidence = { meaning, codes, edits, causes, neighbours };
})(window.atlas);
