/* By image: choose one, click its patches, and see which latents fire there. */
(function (atlas) {
  "use strict";
  const { h } = atlas, { count, percent, title, cellName, whole } = atlas.words;

  const SHOWN = 24, WIDE = 448;

  async function image(route, main) {
    const cell = await atlas.cell(route.cell), { browse } = cell;
    if (!browse.length) throw new Error("No image was kept for this view (atlas.browse is 0).");
    const id = route.image === undefined ? browse[0].id : Number(route.image), chosen = browse.find((of) => of.id === id);
    if (!chosen) throw new Error(`Validation image ${route.image} is not among the ${browse.length} that can be browsed.`);
    const look = await atlas.look(cell, id), tokens = look.start.length - 1;
    const patches = new Set((route.query.p || "").split(",").filter(Boolean).map(Number).filter((p) => p >= 0 && p < tokens));
    const go = (set) => {
      atlas.route.go({ ...route, image: id, query: { p: [...set].sort((a, b) => a - b).join(",") } }, { replace: true });
      atlas.show();
    };
    const latents = among(cell, look, patches), kept = main.querySelector(`[data-image="${id}"][data-of="${CSS.escape(cell.name)}"]`);
    const found = results(cell, look, latents, patches, () => go(new Set()), () => main.querySelector("[data-image]"));
    if (kept) {
      kept.querySelector(".found").replaceWith(found);
      kept.canvas.mark(patches);
    } else {
      main.replaceChildren(view(cell, chosen, route, found, patches, go, look));
    }
    const words = `${count(latents.length, "latent")} on ${patches.size ? count(patches.size, "chosen patch", "chosen patches") : "the whole image"}`;
    atlas.announce(words);
    return `Image ${id}: ${words}`;
  }

  function view(cell, chosen, route, found, patches, go, look) {
    const canvas = atlas.pictures.picture(cell.albums.val, chosen.id, `Validation image ${chosen.id}: ${chosen.name}`, { grid: cell.grid });
    const board = patchBoard(cell, canvas, patches, go);
    const element = h("div", { "data-image": chosen.id, "data-of": cell.name },
      h("h1", {}, "By image"), h("p", { class: "lead" }, cellName(cell)),
      h("p", {}, cell.grid ? "Click patches, or drag over them: the latents that fire there are listed. By keyboard: arrows and space on the image." : "This dictionary reads one token of an image: the latents of the whole image are listed."),
      h("div", { class: "columns even" }, h("div", {}, board, h("p", { class: "soft small" }, chosen.name)), found),
      h("h2", {}, "Other images"),
      h("div", { class: "gallery" }, cell.browse.map((of) => h("a", {
        href: atlas.route.format({ view: "image", cell: cell.name, image: of.id }), "aria-label": `Image ${of.id}`, "aria-current": of.id === chosen.id ? "true" : null, title: of.name,
      }, atlas.pictures.picture(cell.albums.val, of.id, of.name, { size: 72 })))));
    element.canvas = board;
    element.over = (latent) => canvas.redraw({ map: latent === null ? null : mapOf(look, latent) });
    return element;
  }

  /* The image under a grid that can be clicked, dragged over and walked by keys. */
  function patchBoard(cell, canvas, patches, go) {
    const [rows, columns] = cell.grid || [1, 1];
    const marks = Array.from({ length: rows * columns }, () => h("span", {}));
    const board = h("div", {
      class: "board", tabindex: 0, role: "application", "aria-label": `Image of ${rows} by ${columns} patches; arrows move, space chooses`,
      style: `max-width:${WIDE}px`,
    }, canvas, h("div", { class: "patches", style: `grid-template: repeat(${rows}, 1fr) / repeat(${columns}, 1fr)` }, marks));
    let chosen = patches, at = 0, drag = null;
    board.mark = (set) => {
      chosen = set;
      marks.forEach((mark, p) => mark.classList.toggle("on", set.has(p)));
    };
    const under = (event) => {
      const box = board.getBoundingClientRect();
      const x = Math.floor((event.clientX - box.left) / box.width * columns), y = Math.floor((event.clientY - box.top) / box.height * rows);
      return x >= 0 && y >= 0 && x < columns && y < rows ? y * columns + x : null;
    };
    board.addEventListener("pointerdown", (event) => {
      const p = under(event);
      if (p === null) return;
      drag = { set: new Set(chosen), on: !chosen.has(p) };
      touch(p);
    });
    board.addEventListener("pointermove", (event) => { if (drag && event.buttons) touch(under(event)); });
    window.addEventListener("pointerup", () => {
      if (drag && board.isConnected) go(drag.set);
      drag = null;
    });
    function touch(p) {
      if (p === null) return;
      drag.set[drag.on ? "add" : "delete"](p);
      marks[p].classList.toggle("on", drag.on);
    }
    board.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      if (step && at + step >= 0 && at + step < marks.length) at += step;
      else if (event.key === " ") {
        const set = new Set(chosen);
        if (!set.delete(at)) set.add(at);
        go(set);
      } else return;
      event.preventDefault();
      event.stopPropagation();
      marks.forEach((mark, p) => mark.classList.toggle("cursor", p === at));
      atlas.announce(`Row ${Math.floor(at / columns) + 1}, column ${at % columns + 1}${chosen.has(at) ? ", chosen" : ""}`);
    });
    board.mark(patches);
    return board;
  }

  /* The latents of the chosen patches, or of all: first those nearest to their own largest code. */
  function among(cell, look, patches) {
    const found = new Map(), tokens = patches.size ? [...patches] : Array.from({ length: look.start.length - 1 }, (_, p) => p);
    for (const p of tokens) {
      for (let j = look.start[p]; j < look.start[p + 1]; j++) {
        const row = found.get(look.latent[j]) || { latent: look.latent[j], level: 0, patches: 0 };
        row.level = Math.max(row.level, look.level[j]);
        row.patches += 1;
        found.set(row.latent, row);
      }
    }
    return [...found.values()].sort((a, b) => b.patches * b.level - a.patches * a.level || a.latent - b.latent);
  }

  function results(cell, look, latents, patches, clear, place) {
    const of = patches.size || look.start.length - 1;
    const over = (latent) => () => { const element = place(); if (element) element.over(latent); };
    return h("div", { class: "found" },
      h("p", { class: "bar" }, h("strong", {}, `${count(latents.length, "latent")} on ${patches.size ? count(of, "patch", "patches") : "the whole image"}`),
        patches.size > 0 && h("button", { type: "button", onclick: clear }, "Clear")),
      h("div", { class: "scroll" }, h("table", { class: "latents" },
        h("thead", {}, h("tr", {}, ["latent", "name", "strongest here", "fires on"].map((words) => h("th", { scope: "col" }, words)))),
        h("tbody", {}, latents.slice(0, SHOWN).map((row) => h("tr", { "data-latent": row.latent, onpointerenter: over(row.latent), onpointerleave: over(null), onfocusin: over(row.latent), onfocusout: over(null) },
          h("th", { scope: "row" }, h("a", { href: atlas.route.format({ view: "card", cell: cell.name, latent: row.latent }) }, String(row.latent))),
          h("td", { class: title(cell, row.latent) === "no name" ? "name soft" : "name" }, title(cell, row.latent)),
          h("td", {}, `${percent(row.level / atlas.pictures.LEVELS)} of its largest`),
          h("td", {}, cell.grid ? `${row.patches} of ${of}` : "the image")))))),
      latents.length > SHOWN && h("p", { class: "soft small" }, `The first ${SHOWN} of ${whole(latents.length)}, by patches × strength. Point at one to see where it fires.`),
      look.left > 0 && h("p", { class: "soft small" }, `${whole(look.left)} weak codes of dense patches were left out.`));
  }

  function mapOf(look, latent) {
    const map = { token: [], level: [] };
    for (let p = 0; p < look.start.length - 1; p++) {
      for (let j = look.start[p]; j < look.start[p + 1]; j++) {
        if (look.latent[j] === latent) { map.token.push(p); map.level.push(look.level[j]); }
      }
    }
    return map;
  }

  atlas.image = image;
})(window.atlas);
