/* The overview: every latent as a dot, how often it fires against another column. A brush filters the list. */
(function (atlas) {
  "use strict";
  const { h, css } = atlas, { number, percent } = atlas.words;

  const HEIGHT = 280, LEFT = 44, BOTTOM = 34, TOP = 10, RIGHT = 10, NEAR = 12;
  const AXES = {
    maximum: { words: "largest code", log: true },
    f1: { words: "F1 of its closest concept", log: false },
    stability: { words: "cosine with another seed's", log: false },
  };

  /* A scale from values to pixels, and back. */
  function scale(low, high, from, to, log) {
    const f = log ? Math.log10 : (v) => v, g = log ? (v) => 10 ** v : (v) => v;
    const a = f(low), b = f(high), span = b - a || 1;
    return { at: (v) => from + (f(v) - a) / span * (to - from), back: (px) => g(a + (px - from) / (to - from) * span) };
  }

  /* Round numbers from low to high: powers of ten, or with their doubles and fives where these are few. */
  function ticks(low, high, log) {
    if (log) {
      const from = Math.floor(Math.log10(low)), powers = Array.from({ length: Math.ceil(Math.log10(high)) - from + 1 }, (_, i) => 10 ** (from + i));
      const within = (values) => values.filter((v) => v >= low * 0.999 && v <= high * 1.001);
      return within(powers).length >= 3 ? within(powers) : within(powers.flatMap((v) => [v, 2 * v, 5 * v]));
    }
    const size = (high - low || 1) / 4, power = 10 ** Math.floor(Math.log10(size));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= size), from = Math.ceil(low / step);
    return Array.from({ length: Math.max(0, Math.floor(high / step) - from + 1) }, (_, i) => (from + i) * step);
  }

  function extent(column, keep) {
    let low = Infinity, high = -Infinity;
    column.forEach((value, s) => {
      if (keep(s) && Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    });
    return low <= high ? [low, high] : [0.001, 1];
  }

  /* change(query): what a brush or another axis asks for; open(latent): a dot that was clicked. */
  function scatter(cell, query, chosen, { change, open }) {
    const c = cell.columns, name = AXES[query.y] ? query.y : "maximum", axis = AXES[name], y = c[name];
    const shown = (s) => c.frequency[s] > 0 && Number.isFinite(y[s]) && (!axis.log || y[s] > 0);
    const canvas = h("canvas", { role: "img", tabindex: -1, "aria-label": `${chosen.length} latents chosen, drawn by how often they fire and ${axis.words}; the same is filtered by the fields beside` });
    const pick = h("select", { "aria-label": "Vertical axis", onchange: (event) => change({ y: event.target.value, box: "" }) },
      Object.entries(AXES).map(([key, of]) => h("option", { value: key, selected: key === name }, of.words)));
    const clear = query.box && h("button", { type: "button", onclick: () => change({ box: "" }) }, "Clear the brush");
    const place = h("div", { class: "scatter" }, h("p", { class: "bar" }, h("label", {}, "up: ", pick), clear), canvas,
      h("p", { class: "soft small" }, "Drag to filter; click a dot to open it."));
    let view = null, drag = null;

    function layout() {
      const width = canvas.parentElement.clientWidth, dots = window.devicePixelRatio || 1;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${HEIGHT}px`;
      [canvas.width, canvas.height] = [width * dots, HEIGHT * dots];
      const context = canvas.getContext("2d");
      context.setTransform(dots, 0, 0, dots, 0, 0);
      const [x0, x1] = extent(c.frequency, shown), [y0, y1] = extent(y, shown);
      view = {
        context, width, ends: [x0, x1, y0, y1],
        x: scale(x0, x1, LEFT + 6, width - RIGHT - 6, true),
        y: scale(y0, y1, HEIGHT - BOTTOM - 6, TOP + 6, axis.log),
      };
    }

    function paint() {
      if (!canvas.isConnected) return;
      layout();
      const { context, width, x, y: up, ends } = view;
      context.font = "11px system-ui";
      lines(context, width, x, up, ends, axis);
      const inside = new Uint8Array(cell.latents);
      chosen.forEach((s) => { inside[s] = 1; });
      const size = cell.latents > 8000 ? 1.6 : 2.6;
      for (const [pass, style] of [[0, css("--dot")], [1, css("--accent")]]) {
        context.fillStyle = style;
        for (let s = 0; s < cell.latents; s++) {
          if (inside[s] === pass && shown(s)) context.fillRect(x.at(c.frequency[s]) - size / 2, up.at(y[s]) - size / 2, size, size);
        }
      }
      if (query.box && !drag) {
        const [a, b, low, high] = query.box.split(",").map(Number);
        frame(context, x.at(a), up.at(low), x.at(b), up.at(high));
      }
      if (drag) frame(context, drag.x0, drag.y0, drag.x1, drag.y1);
    }

    function here(event) {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    canvas.addEventListener("pointerdown", (event) => {
      const [px, py] = here(event);
      drag = { x0: px, y0: py, x1: px, y1: py };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      [drag.x1, drag.y1] = here(event);
      paint();
    });
    canvas.addEventListener("pointerup", () => {
      if (!drag) return;
      const { x0, y0, x1, y1 } = drag;
      drag = null;
      if (Math.hypot(x1 - x0, y1 - y0) < 5) {
        const s = nearest(x0, y0);
        if (s !== null) open(s);
        else paint();
        return;
      }
      const xs = [x0, x1].sort((a, b) => a - b).map(view.x.back), ys = [y0, y1].sort((a, b) => b - a).map(view.y.back);
      change({ box: [...xs, ...ys].map((v) => v.toPrecision(4)).join(",") });
    });

    function nearest(px, py) {
      let best = null, least = NEAR;
      for (let s = 0; s < cell.latents; s++) {
        if (!shown(s)) continue;
        const far = Math.hypot(view.x.at(c.frequency[s]) - px, view.y.at(y[s]) - py);
        if (far < least) [best, least] = [s, far];
      }
      return best;
    }

    new ResizeObserver(paint).observe(place);
    return place;
  }

  function lines(context, width, x, up, [x0, x1, y0, y1], axis) {
    context.clearRect(0, 0, width, HEIGHT);
    context.strokeStyle = css("--line");
    context.fillStyle = css("--soft");
    context.lineWidth = 1;
    context.textAlign = "center";
    for (const value of ticks(x0, x1, true)) {
      const at = Math.round(x.at(value)) + 0.5;
      segment(context, at, TOP, at, HEIGHT - BOTTOM);
      context.fillText(percent(value), Math.min(width - 22, Math.max(LEFT + 12, at)), HEIGHT - BOTTOM + 14);
    }
    context.textAlign = "right";
    for (const value of ticks(y0, y1, axis.log)) {
      const at = Math.round(up.at(value)) + 0.5;
      segment(context, LEFT, at, width - RIGHT, at);
      context.fillText(number(value), LEFT - 6, at + 4);
    }
    context.textAlign = "center";
    context.fillText("fires on, of the training patches", (LEFT + width - RIGHT) / 2, HEIGHT - 4);
  }

  function segment(context, x0, y0, x1, y1) {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  function frame(context, x0, y0, x1, y1) {
    context.fillStyle = css("--accent-soft");
    context.strokeStyle = css("--accent");
    context.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    context.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  }

  atlas.scatter = scatter;
})(window.atlas);
