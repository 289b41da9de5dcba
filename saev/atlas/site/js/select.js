/* Which latents are listed, and in which order: filters over the columns, and words looked up. */
(function (atlas) {
  "use strict";

  const DENSE = 0.01;  // fires on more than 1 % of the patches, as everywhere in the study
  const SORTS = {
    evidence: { words: "evidence for its name", of: evidence },
    frequency: { words: "how often it fires", of: (cell) => cell.columns.frequency },
    maximum: { words: "largest code", of: (cell) => cell.columns.maximum },
    f1: { words: "F1", of: (cell) => cell.columns.f1 },
    stability: { words: "found by other seeds", of: (cell) => cell.columns.stability },
    number: { words: "number", of: (cell) => Float32Array.from({ length: cell.latents }, (_, s) => -s) },
  };
  const STATES = {
    "": "all", live: "that fire", dead: "dead (never fire)", dense: "dense (on > 1 %)", rare: "not dense",
  };

  /* F1 where a name beats its null, below 0 where none does: so the named come first. */
  function evidence(cell) {
    const { f1, chance } = cell.columns;
    return f1.map((value, s) => (chance[s] <= atlas.words.CLAIMED ? value : value - 2));
  }

  const given = (text) => text !== undefined && text !== "" && Number.isFinite(Number(text));

  /* The latents that the query of an address asks for, in its order. The last answer is kept, for the cards. */
  function select(cell, query) {
    const { page, ...asked } = query, key = JSON.stringify(asked);
    if (!cell.selected || cell.selected.key !== key) cell.selected = { key, found: search(cell, asked) };
    return cell.selected.found;
  }

  function search(cell, query) {
    const c = cell.columns, found = [], words = (query.q || "").trim();
    const among = words ? lookup(cell, words) : null;
    const tests = [];
    const bound = (key, column, scale, test) => {
      if (given(query[key])) tests.push((s) => test(column[s], Number(query[key]) * scale));
    };
    bound("often", c.frequency, 0.01, (value, low) => value >= low);
    bound("rare", c.frequency, 0.01, (value, high) => value <= high);
    bound("stable", c.stability, 1, (value, low) => value >= low);
    bound("chance", c.chance, 1, (value, high) => value <= high);
    if (query.concept) {
      const number = cell.concepts.findIndex((of) => `${of.kind}/${of.name}` === query.concept);
      tests.push((s) => c.concept[s] === number);
    }
    if (given(query.level) && c.level) tests.push((s) => c.level[s] === Number(query.level));
    if (query.state) tests.push((s) => inState(c.frequency[s], query.state));
    if (query.box) tests.push(inBox(cell, query));
    for (let s = 0; s < cell.latents; s++) {
      if ((!among || among.has(s)) && tests.every((test) => test(s))) found.push(s);
    }
    return ordered(cell, found, query, among);
  }

  function ordered(cell, found, query, among) {
    const key = SORTS[query.sort] ? query.sort : "evidence", sign = query.up ? 1 : -1, rank = new Float64Array(cell.latents);
    const column = SORTS[key].of(cell);
    for (const s of found) {
      rank[s] = Number.isNaN(column[s]) ? Infinity : sign * column[s];  // what is not known comes last
      if (among && among.get(s) && !query.sort) rank[s] = -Infinity;  // and a number that was typed first
    }
    return found.sort((a, b) => rank[a] - rank[b] || a - b);
  }

  function inState(frequency, state) {
    return {
      live: frequency > 0, dead: frequency === 0, dense: frequency > DENSE, rare: frequency > 0 && frequency <= DENSE,
    }[state];
  }

  /* What was brushed in the overview: frequency x another column. */
  function inBox(cell, query) {
    const [x0, x1, y0, y1] = query.box.split(",").map(Number), c = cell.columns;
    const y = c[query.y] || c.maximum;
    return (s) => c.frequency[s] >= x0 && c.frequency[s] <= x1 && y[s] >= y0 && y[s] <= y1;
  }

  /* Map of the latents that words or a number lead to: 1 for the number itself, 0 for others. */
  function lookup(cell, words) {
    const found = new Map();
    const hit = new Map(dictionary(cell).search(words, { prefix: true, fuzzy: 0.2, combineWith: "AND" })
      .map((of) => [of.id, of]));
    for (let s = 0; s < cell.latents; s++) {
      const concept = cell.columns.concept[s];
      if (hit.has(`c${concept}`) || hit.has(`n${s}`)) found.set(s, 0);
    }
    const number = Number(words.replace(/^(latent|#)\s*/i, ""));
    if (Number.isInteger(number) && number >= 0 && number < cell.latents) found.set(number, 1);
    return found;
  }

  /* The words of a cell: its concepts, and what people have noted. A latent is found by those of its own. */
  function dictionary(cell) {
    if (!cell.dictionary) {
      const tokenize = (text) => text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
      cell.dictionary = new window.MiniSearch({ fields: ["words"], tokenize });
      cell.dictionary.addAll(cell.concepts.map((of, i) => ({ id: `c${i}`, words: `${of.name} ${of.kind}` })));
      cell.dictionary.addAll(Object.entries(cell.notes || {}).map(([s, note]) => ({ id: `n${s}`, words: note })));
    }
    return cell.dictionary;
  }

  atlas.select = { select, SORTS, STATES, DENSE, given };
})(window.atlas);
