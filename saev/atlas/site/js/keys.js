/* The whole atlas by keyboard. */
(function (atlas) {
  "use strict";
  const { h } = atlas;

  const KEYS = [
    ["/", "search"], ["↓ ↑", "along the list; Enter opens"], ["← →", "the latent, or page, before and after"],
    ["Esc", "leave a field; from a card back to the list"], ["?", "these keys"],
  ];
  const FIELDS = "input, select, textarea";

  function help() {
    const dialog = document.getElementById("help");
    dialog.replaceChildren(h("h2", {}, "Keys"), h("dl", {}, KEYS.map(([key, words]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)))),
      h("form", { method: "dialog" }, h("button", {}, "Close")));
    dialog.showModal();
  }

  /* Move the focus along the links of the rows. */
  function step(by) {
    const links = [...document.querySelectorAll("table.latents tbody th a")];
    if (!links.length) return false;
    const at = links.indexOf(document.activeElement), next = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
    if (!links[next]) return false;
    links[next].focus();
    links[next].scrollIntoView({ block: "nearest" });
    return true;
  }

  function turn(by) {
    const link = document.querySelector(by < 0 ? 'a[rel="prev"]' : 'a[rel="next"]');
    const page = document.querySelector(`.pager button[aria-label="${by < 0 ? "Page before" : "Next page"}"]`);
    if (link) window.location.hash = link.hash;
    else if (page && !page.disabled) page.click();
    else return false;
    return true;
  }

  function escape() {
    const route = atlas.route.current();
    if (route.view !== "card") return false;
    atlas.route.go({ view: "list", cell: route.cell, query: route.query });
    return true;
  }

  async function find() {
    const route = atlas.route.current(), cell = route.cell || atlas.index().cells[0].name;
    if (route.view !== "list") {
      atlas.route.go({ view: "list", cell, query: route.view === "card" ? route.query : {} });
      await atlas.shown();
    }
    const field = document.getElementById("search");
    field.focus();
    field.select();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("help").open) return;
    const inField = event.target.matches(FIELDS);
    if (event.key === "Escape" && inField) { event.target.blur(); return; }
    if (event.key === "ArrowDown" && event.target.id === "search") { if (step(1)) event.preventDefault(); return; }
    if (inField) return;
    const acts = { "/": () => { find(); return true; }, "?": () => { help(); return true; }, ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), Escape: escape };
    if (acts[event.key] && acts[event.key]()) event.preventDefault();
  });

  atlas.help = help;
})(window.atlas);
