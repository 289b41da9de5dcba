/* Curves and bars, by uPlot, in the colours of the page; each has a table or a sentence beside it. */
(function (atlas) {
  "use strict";
  const { h, css } = atlas, { fixed, number, percent, whole } = atlas.words;

  const HEIGHT = 220, DASHES = [[], [], [8, 4], [3, 3], [8, 3, 2, 3]];
  const BINS_AN_OCTAVE = 2, LOWEST = -14, SUBNORMAL = 2;  // of float16: bins 0 and 1 are below 2^-14

  function axes(x, y) {
    const of = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, font: "12px system-ui" };
    return [{ ...of, label: x.label, values: x.values, labelSize: 24, labelFont: "12px system-ui" },
      { ...of, label: y.label, values: y.values, size: 56, labelSize: 20, labelFont: "12px system-ui" }];
  }

  /* A chart that is as wide as its place. */
  function draw(words, options, data) {
    const place = h("div", { class: "chart", role: "img", "aria-label": words });
    requestAnimationFrame(() => {
      if (!place.isConnected) return;
      const size = { width: Math.max(240, place.clientWidth), height: HEIGHT };
      const chart = new window.uPlot({ ...size, legend: { show: false }, cursor: { show: false }, ...options }, data, place);
      const watcher = new ResizeObserver(() => {
        if (!place.isConnected) { watcher.disconnect(); chart.destroy(); return; }
        chart.setSize({ width: Math.max(240, place.clientWidth), height: HEIGHT });
      });
      watcher.observe(place);
    });
    return place;
  }

  /* The lower edge of a bin of the histogram: floats of 16 bits, two an octave. */
  function edge(bin) {
    const octave = Math.floor(bin / BINS_AN_OCTAVE), half = bin % BINS_AN_OCTAVE;
    if (bin < SUBNORMAL) return bin * 2 ** (LOWEST - 1);
    return 2 ** (LOWEST + octave - 1) * (1 + half / BINS_AN_OCTAVE);
  }

  function histogram({ first, count }, unit) {
    const edges = Array.from(count, (_, i) => edge(first + i)), top = edge(first + count.length);
    const total = count.reduce((sum, n) => sum + n, 0);
    const words = `Codes above 0, from ${number(edges[0])} to ${number(top)}, of ${whole(total)} ${unit}`;
    const place = Array.from(count, (_, i) => i + 0.5);
    const label = (at) => (Number.isInteger(at) && at >= 0 && at <= count.length ? number(edge(first + at)) : "");
    return draw(words, {
      axes: axes({ label: "code (logarithmic)", values: (_, ticks) => ticks.map(label) }, { label: unit, values: (_, ticks) => ticks.map(whole) }),
      scales: { x: { time: false, range: [0, count.length] }, y: { range: (_, __, high) => [0, high * 1.05 || 1] } },
      series: [{}, {
        stroke: css("--accent"), fill: css("--accent-soft"), points: { show: false },
        paths: window.uPlot.paths.bars({ size: [0.92, 60] }),
      }],
    }, [place, Array.from(count)]);
  }

  /* What edits change, by strength: the target and the others of the latent, and the target of its controls. */
  function edits(rows, name) {
    const strengths = [...new Set(rows.map((row) => row.strength))].sort((a, b) => a - b);
    const methods = [...new Set(rows.map((row) => row.method))];
    const lines = [
      { words: `${name}, latent edited`, of: (row) => row.target, method: methods[0], width: 3, colour: "--accent" },
      { words: "others, latent edited", of: (row) => row.other, method: methods[0], width: 1.5, colour: "--accent" },
      ...methods.slice(1).map((method) => ({ words: `${name}, ${method}`, of: (row) => row.target, method, width: 1.5, colour: "--text" })),
    ].map((line, i) => ({ ...line, dash: DASHES[i % DASHES.length] }));
    const values = lines.map(({ of, method }) => strengths.map((strength) => {
      const row = rows.find((one) => one.method === method && one.strength === strength);
      return row ? 100 * of(row) : null;
    }));
    const words = `Share of answers changed by strength of the edit; at ${number(strengths[0])}: `
      + lines.map((line, i) => `${line.words} ${fixed(values[i][0], 0)} %`).join(", ");
    const chart = draw(words, {
      axes: axes({ label: "code set to so many times its largest", values: (_, ticks) => ticks.map(number) }, { label: "answers changed, %", values: (_, ticks) => ticks.map(number) }),
      scales: { x: { time: false }, y: { range: [0, 100] } },
      series: [{}, ...lines.map((line) => ({
        stroke: css(line.colour), width: line.width, dash: line.dash, points: { show: true, size: 6, fill: css(line.colour) },
      }))],
    }, [strengths, ...values]);
    return h("div", {}, chart, h("ul", { class: "keys" }, lines.map((line) => h("li", {}, key(line), line.words))));
  }

  /* A piece of a line, as it is drawn. */
  function key({ colour, width, dash }) {
    const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "line");
    for (const [name, value] of Object.entries({ width: 34, height: 8, "aria-hidden": "true" })) svg.setAttribute(name, value);
    for (const [name, value] of Object.entries({ x1: 0, x2: 34, y1: 4, y2: 4, stroke: `var(${colour})`, "stroke-width": width, "stroke-dasharray": dash.join(" ") })) line.setAttribute(name, value);
    svg.append(line);
    return svg;
  }

  atlas.charts = { histogram, edits, edge, percent };
})(window.atlas);
