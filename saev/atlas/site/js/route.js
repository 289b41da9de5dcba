/* The address after #: what is shown, so that every view is a link.
     #                         the study            #<cell>/<latent>          a card
     #<cell>?q=...&sort=...    a list               #<cell>/image/<number>    an image
     #compare?a=<cell>&b=<cell>                     two cells                                    */
(function (atlas) {
  "use strict";

  function parse(hash) {
    const [path, query] = hash.replace(/^#/, "").split("?", 2);
    const parts = path.split("/").filter(Boolean).map(decode);
    const route = { view: "start", cell: null, query: Object.fromEntries(new URLSearchParams(query || "")) };
    if (!parts.length || parts[0] === "main") return route;
    if (parts[0] === "compare") return { ...route, view: "compare" };
    if (parts[1] === "image") return { ...route, view: "image", cell: parts[0], image: parts[2] };
    if (parts.length > 1) return { ...route, view: "card", cell: parts[0], latent: parts[1] };
    return { ...route, view: "list", cell: parts[0] };
  }

  function decode(part) {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;  // a % that somebody typed
    }
  }

  function format({ view, cell, latent, image, query }) {
    const path = {
      start: [], compare: ["compare"], list: [cell], card: [cell, latent],
      image: [cell, "image", ...(image === undefined || image === null ? [] : [image])],
    }[view];
    const given = Object.entries(query || {}).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    const words = new URLSearchParams(given).toString();
    return `#${path.map((part) => encodeURIComponent(part)).join("/")}${words ? `?${words}` : ""}`;
  }

  function current() {
    return parse(window.location.hash);
  }

  /* Show another view; replace: it is the same one, with other filters, which going back shall skip. */
  function go(route, { replace = false } = {}) {
    const address = format(route);
    if (address === window.location.hash || (address === "#" && !window.location.hash)) return;
    if (replace) {
      history.replaceState(null, "", address);
    } else {
      window.location.hash = address;
    }
  }

  atlas.route = { parse, format, current, go };
})(window.atlas);
