/* Data come as classic scripts that call atlas.put(key, value): a page opened from disk may load nothing else.
   Columns are base64 of typed arrays; details of latents are loaded, 128 at a time, when a card asks for them. */
window.atlas = (function () {
  "use strict";

  const CHUNK = 128;
  const TYPES = {
    u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array,
  };
  const NOBODY = 65535;  // in the place of a concept where there is none
  const values = new Map(), asked = new Map();

  function put(key, value) {
    values.set(key, value);
  }

  /* The value that the script of this key puts. */
  function load(key) {
    if (!asked.has(key)) {
      asked.set(key, new Promise((resolve, reject) => {
        if (values.has(key)) return resolve(values.get(key));
        const script = document.createElement("script");
        script.src = `${key.split("/").map(encodeURIComponent).join("/")}.js`;
        script.onload = () => resolve(values.get(key));
        script.onerror = () => {
          asked.delete(key);  // a stick that was pulled out may come back
          reject(new Error(`${key}.js is not there; copy the whole folder of the atlas`));
        };
        document.head.append(script);
      }));
    }
    return asked.get(key);
  }

  /* A typed array of {type: base64}. */
  function unpack(packed) {
    const [type] = Object.keys(packed), text = atob(packed[type]);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new TYPES[type](bytes.buffer);
  }

  function unpacked(record) {
    return Object.fromEntries(Object.entries(record).map(([name, of]) => [name, of && unpack(of)]));
  }

  /* Where each of several lists of these sizes begins, in all of them one after the other. */
  function starts(sizes) {
    const found = new Uint32Array(sizes.length + 1);
    sizes.forEach((size, i) => { found[i + 1] = found[i] + size; });
    return found;
  }

  /* A cell: its record in index.js, and the columns of its latents. */
  const cells = new Map();
  function cell(name) {
    if (!cells.has(name)) {
      const record = index().cells.find((of) => of.name === name);
      if (!record) return Promise.reject(new Error(`No cell is called ${name}.`));
      cells.set(name, load(`d/${name}/columns`).then((columns) => ({ ...record, columns: unpacked(columns) })));
    }
    return cells.get(name);
  }

  /* What is known of one latent, taken out of its chunk. */
  async function detail(of, latent) {
    const chunk = await load(`d/${of.name}/${Math.floor(latent / CHUNK)}`), i = latent - chunk.first;
    if (!chunk.open) {
      chunk.open = {
        strongest: opened(chunk.strongest), spread: opened(chunk.spread), histogram: unpacked(chunk.histogram),
        names: Object.fromEntries(Object.entries(chunk.names).map(([kind, names]) => [kind, unpacked(names)])),
      };
      chunk.open.histogram.start = starts(chunk.open.histogram.size);
      for (const name of ["quantiles", "near", "cosine", "together", "jaccard", "twin", "likeness"]) {
        chunk.open[name] = unpack(chunk[name]);
      }
    }
    const rows = Math.min(CHUNK, of.latents - chunk.first), open = chunk.open;
    const row = (array) => array.slice(i * array.length / rows, (i + 1) * array.length / rows);
    const bins = open.histogram;
    return {
      strongest: exemplars(open.strongest, i, rows), spread: exemplars(open.spread, i, rows),
      histogram: { first: bins.first[i], count: bins.count.slice(bins.start[i], bins.start[i + 1]) },
      quantiles: row(open.quantiles),
      near: row(open.near), cosine: row(open.cosine), together: row(open.together), jaccard: row(open.jaccard),
      twin: row(open.twin), likeness: row(open.likeness),
      names: Object.fromEntries(Object.entries(open.names).map(([kind, names]) => [
        kind, Object.fromEntries(Object.entries(names).map(([key, column]) => [key, column[i]])),
      ])),
      told: chunk.told[latent] || {},
    };
  }

  function opened(shown) {
    const open = unpacked(shown);
    open.start = starts(open.size);
    return open;
  }

  function exemplars(open, i, rows) {
    const k = open.image.length / rows, found = [];
    for (let j = i * k; j < (i + 1) * k; j++) {
      const map = [open.start[j], open.start[j + 1]];
      if (open.image[j] >= 0) {
        found.push({
          image: open.image[j], peak: open.peak[j],
          token: open.token.slice(...map), level: open.level.slice(...map),
        });
      }
    }
    return found;
  }

  /* The codes of an image: of each token the latents that fire there. */
  async function look(of, image) {
    const value = await load(`d/${of.name}/image-${image}`);
    const { count, latent, level } = unpacked({ count: value.count, latent: value.latent, level: value.level });
    return { start: starts(count), latent, level, left: value.left };
  }

  function index() {
    return values.get("index");
  }

  return { put, load, unpack, cell, detail, look, index, NOBODY };
})();
