/* From the address to what is shown. */
(function (atlas) {
  "use strict";
  const { h } = atlas, { cellName } = atlas.words;

  const VIEWS = { start: atlas.start, list: atlas.list, card: atlas.card, image: atlas.image, compare: atlas.compare };
  let turn = 0, last = Promise.resolve(), before = null;

  function header(route) {
    const { cells } = atlas.index(), cell = cells.some((of) => of.name === route.cell) ? route.cell : cells[0].name;
    const go = (event) => atlas.route.go({ view: route.view === "image" ? "image" : "list", cell: event.target.value });
    const tab = (words, view, of) => h("a", {
      href: atlas.route.format({ view, cell: of }), "aria-current": route.view === view || (view === "list" && route.view === "card") ? "page" : null,
    }, words);
    document.getElementById("header").replaceChildren(
      h("a", { class: "brand", href: "#" }, "Atlas"),
      h("nav", { "aria-label": "Views" }, tab("Study", "start"), tab("Latents", "list", cell), tab("By image", "image", cell), tab("Compare", "compare")),
      h("select", { class: "cells", "aria-label": "Dictionary", onchange: go }, cells.map((of) => h("option", { value: of.name, selected: of.name === cell }, cellName(of)))),
      h("button", { type: "button", "aria-label": "Keys", title: "Keys", onclick: () => atlas.help() }, "?"));
  }

  /* Show what the address says. A view that was left before its data came draws nothing. */
  async function draw() {
    const route = atlas.route.current(), main = document.getElementById("main"), mine = ++turn;
    const same = before && before.view === route.view && before.cell === route.cell;
    if (!same) main.replaceChildren(h("p", { class: "soft" }, "Reading …"));
    header(route);
    try {
      const title = await VIEWS[route.view](route, place(main, mine));
      if (mine !== turn) return;
      document.title = title;
      if (!same || before.latent !== route.latent) window.scrollTo(0, 0);
    } catch (error) {
      if (mine !== turn) return;
      main.replaceChildren(h("h1", {}, "Not shown"), h("p", { role: "alert" }, error.message), h("p", {}, h("a", { href: "#" }, "The study")));
    }
    before = route;
  }

  /* The place that a view draws into: the page, as long as no other view has been asked for. */
  function place(main, mine) {
    return {
      querySelector: (selector) => main.querySelector(selector),
      replaceChildren: (...children) => { if (mine === turn) main.replaceChildren(...children); },
    };
  }

  atlas.show = () => { last = draw(); return last; };
  atlas.shown = async () => { await new Promise((resolve) => setTimeout(resolve)); return last; };

  window.addEventListener("hashchange", atlas.show);
  document.getElementById("footer").append("Made by saev from records alone. Everything here is in this folder: it opens from a disk, a stick or any web server.");
  const began = performance.now();
  atlas.show().then(() => { atlas.first = performance.now() - began; });
})(window.atlas);
