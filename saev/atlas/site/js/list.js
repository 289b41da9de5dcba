/* All latents of a cell: fields, overview, and a table of 50 at a time. */
(function (atlas) {
  "use strict";
  const { h } = atlas, { fixed, number, percent, interval, count, named, dead, cellName } = atlas.words;

  const PAGE = 50, THUMB = 44;
  const HEADS = [
    ["images", null], ["latent", "number"], ["name", "evidence"], ["F1 [95 %], by chance", "f1"], ["fires on", "frequency"],
    ["largest code", "maximum"], ["like another seed's", "stability"],
  ];

  async function list(route, main) {
    const cell = await atlas.cell(route.cell), { query } = route;
    const change = (changes) => {
      atlas.route.go({ ...route, query: { ...query, page: "", ...changes } }, { replace: true });
      atlas.show();
    };
    const began = performance.now(), found = atlas.select.select(cell, query);
    atlas.timing = { select: performance.now() - began };
    const page = Math.max(0, Math.min(Math.floor((found.length - 1) / PAGE), Number(query.page) || 0));
    const kept = main.querySelector(`[data-cell="${CSS.escape(cell.name)}"]`);
    const words = `${count(found.length, "latent")} of ${cell.latents.toLocaleString("en")}`;
    const results = h("div", { class: "results" },
      h("p", { class: "bar" }, h("strong", {}, words), pager(found, page, (n) => change({ page: n || "" }))),
      found.length ? rows(cell, route, found.slice(page * PAGE, (page + 1) * PAGE)) : h("p", {}, "No latent is like that. ",
        h("button", { type: "button", onclick: () => { atlas.route.go({ ...route, query: {} }); } }, "Clear all filters")));
    const overview = atlas.scatter(cell, query, found, { change, open: (s) => atlas.route.go({ view: "card", cell: cell.name, latent: s, query }) });
    if (kept) {  // the field that is typed in keeps its cursor
      refresh(kept, cell, query, change);
      kept.querySelector(".results").replaceWith(results);
      kept.querySelector(".scatter").replaceWith(overview);
    } else {
      main.replaceChildren(h("div", { "data-cell": cell.name },
        h("h1", {}, "Latents"), h("p", { class: "lead" }, cellName(cell)),
        atlas.filters(cell, query, change), h("div", { class: "columns" }, h("aside", { "aria-label": "Overview" }, overview), results)));
    }
    atlas.announce(words);
    return `${words}, ${cellName(cell)}`;
  }

  /* New fields for a new query, but for the one that has the focus. */
  function refresh(place, cell, query, change) {
    const old = place.querySelector("form"), form = atlas.filters(cell, query, change), focused = document.activeElement;
    if (old.contains(focused) && focused.id === "search") {
      form.querySelector("#search").replaceWith(focused);
      old.replaceWith(form);
      focused.focus();
    } else {
      const name = old.contains(focused) ? focused.name : null;
      old.replaceWith(form);
      if (name) form.elements[name].focus();
    }
  }

  function pager(found, page, turn) {
    const last = Math.floor((found.length - 1) / PAGE);
    if (last < 1) return null;
    const to = (n, words, label) => h("button", { type: "button", "aria-label": label, disabled: n < 0 || n > last, onclick: () => turn(n) }, words);
    return h("span", { class: "pager" }, to(page - 1, "‹", "Page before"),
      `${page * PAGE + 1} to ${Math.min(found.length, (page + 1) * PAGE)}`, to(page + 1, "›", "Next page"));
  }

  function rows(cell, route, some) {
    const sorted = route.query.sort || "evidence";
    return h("div", { class: "scroll" }, h("table", { class: "latents" },
      h("thead", {}, h("tr", {}, HEADS.map(([words, key]) => h("th", {
        scope: "col", "aria-sort": key && key === sorted ? (route.query.up ? "ascending" : "descending") : null,
      }, words)))),
      h("tbody", {}, some.map((s) => row(cell, route, s)))));
  }

  function row(cell, route, s) {
    const c = cell.columns, name = named(cell, s), address = atlas.route.format({ view: "card", cell: cell.name, latent: s, query: route.query });
    const claimed = name && name.claimed && !dead(cell, s);
    return h("tr", { "data-latent": s, onclick: (event) => { if (!event.target.closest("a")) window.location.hash = address; } },
      h("td", { class: "thumbs" }, thumbs(cell, s)),
      h("th", { scope: "row" }, h("a", { href: address }, String(s))),
      h("td", { class: claimed ? "name" : "name soft" }, dead(cell, s) ? "dead" : !name ? atlas.words.NOTHING : claimed ? name.name : `none; closest ${name.name}`),
      h("td", { class: claimed ? "" : "soft" }, name && !dead(cell, s) ? [fixed(name.f1), " ", h("span", { class: "soft" }, interval(name.low, name.high), ", ", fixed(name.null))] : atlas.words.NOTHING),
      h("td", {}, percent(c.frequency[s])),
      h("td", {}, number(c.maximum[s])),
      h("td", {}, fixed(c.stability[s])));
  }

  function thumbs(cell, s) {
    const top = cell.columns.top, k = top.length / cell.latents;
    return Array.from({ length: k }, (_, j) => s * k + j).filter((at) => top[at] >= 0).map((at) => atlas.pictures.picture(
      cell.albums.train, top[at], `image ${top[at]}`, { grid: cell.grid, frame: cell.grid ? cell.columns.at[at] : null, size: THUMB }));
  }

  atlas.list = list;
  atlas.list.thumbs = thumbs;
})(window.atlas);
