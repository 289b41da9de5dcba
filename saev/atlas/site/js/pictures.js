/* Images out of their sprite sheets, and codes laid over them at the resolution of the patches. */
(function (atlas) {
  "use strict";
  const { h } = atlas;

  /* Viridis, from the blue on: the stronger the lighter, and all lighter than where nothing fires. */
  const STOPS = [[59, 82, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
  const LEVELS = 255;
  const sheets = new Map(), places = new Map();

  function colour(share, alpha = 1) {
    const at = Math.max(0, Math.min(1, share)) * (STOPS.length - 1), i = Math.min(STOPS.length - 2, Math.floor(at));
    const [r, g, b] = STOPS[i].map((low, j) => Math.round(low + (at - i) * (STOPS[i + 1][j] - low)));
    return `rgb(${r} ${g} ${b} / ${alpha})`;
  }

  /* Where an image is: its place in the album; undefined if it is not stored. */
  function place(album, image) {
    if (!places.has(album)) {
      const ids = atlas.unpack(atlas.index().albums[album].ids);
      places.set(album, new Map(Array.from(ids, (id, i) => [id, i])));
    }
    return places.get(album).get(image);
  }

  function sheet(album, number) {
    const source = `s/${encodeURIComponent(atlas.index().albums[album].name)}/${number}.webp`;
    if (!sheets.has(source)) {
      sheets.set(source, new Promise((resolve, reject) => {
        const picture = new Image();
        picture.onload = () => resolve(picture);
        picture.onerror = () => reject(new Error(`${source} is not there`));
        picture.src = source;
      }));
    }
    return sheets.get(source);
  }

  /* A canvas with an image, drawn when its sheet has come.
     map: {token, level}, drawn over it unless `plain`; frame: the token that is framed. */
  function picture(album, image, words, { grid = null, map = null, frame = null, size = null } = {}) {
    const record = atlas.index().albums[album], at = place(album, image);
    const canvas = h("canvas", { role: "img", "aria-label": words, width: record.width, height: record.height });
    if (size) canvas.style.width = `${size}px`;
    const state = { plain: false, picture: null, map, frame };
    canvas.redraw = (changes) => {
      Object.assign(state, changes);
      if (state.picture) paint(canvas, record, at, grid, state);
    };
    if (at === undefined) {
      missing(canvas);
    } else {
      canvas.ready = sheet(album, Math.floor(at / record.side ** 2))
        .then((loaded) => canvas.redraw({ picture: loaded }), () => missing(canvas));
    }
    return canvas;
  }

  function paint(canvas, record, at, grid, { picture: source, map, frame, plain }) {
    const { width: w, height: tall, side } = record, context = canvas.getContext("2d"), inSheet = at % side ** 2;
    context.globalCompositeOperation = "source-over";
    context.drawImage(source, (inSheet % side) * w, Math.floor(inSheet / side) * tall, w, tall, 0, 0, w, tall);
    if (map && !plain) overlay(context, w, tall, grid || [1, 1], map);
    if (frame !== null && grid) outline(context, w, tall, grid, frame, "#fff", "#000");
  }

  function overlay(context, w, tall, [rows, columns], map) {
    context.globalCompositeOperation = "saturation";  // grey, also where canvas has no filters
    context.fillStyle = "hsl(0 0% 50%)";
    context.fillRect(0, 0, w, tall);
    context.globalCompositeOperation = "source-over";
    context.fillStyle = "rgb(0 0 0 / 0.5)";
    context.fillRect(0, 0, w, tall);
    map.token.forEach((token, i) => {
      context.fillStyle = colour(map.level[i] / LEVELS, 0.82);
      context.fillRect(...box(w, tall, rows, columns, token));
    });
  }

  function box(w, tall, rows, columns, token) {
    const x = Math.round((token % columns) * w / columns), y = Math.round(Math.floor(token / columns) * tall / rows);
    const right = Math.round((token % columns + 1) * w / columns);
    return [x, y, right - x, Math.round((Math.floor(token / columns) + 1) * tall / rows) - y];
  }

  /* White in black, to be seen on anything. */
  function outline(context, w, tall, [rows, columns], token, inner, outer) {
    const [x, y, wide, high] = box(w, tall, rows, columns, token);
    for (const [style, line] of [[outer, 4], [inner, 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.strokeRect(x - 0.5, y - 0.5, wide + 1, high + 1);
    }
  }

  function missing(canvas) {
    canvas.classList.add("missing");
    canvas.setAttribute("aria-label", `${canvas.getAttribute("aria-label")} (the image is not stored)`);
  }

  /* What the colours say. */
  function legend() {
    const stops = Array.from({ length: 9 }, (_, i) => colour(i / 8)).join(", ");
    return h("p", { class: "legend" },
      h("span", { class: "swatch silent" }), "silent",
      h("span", { class: "ramp", style: `background: linear-gradient(to right, ${stops})` }),
      "0 to 100 % of its largest code; the strongest patch is framed");
  }

  function strongest(map) {
    let best = null;
    map.level.forEach((level, i) => { if (best === null || level > map.level[best]) best = i; });
    return best === null ? null : map.token[best];
  }

  atlas.pictures = { picture, legend, colour, strongest, place, LEVELS };
})(window.atlas);
