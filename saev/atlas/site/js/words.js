/* Numbers as text, and sentences computed from them: never one that the data deny. */
(function (atlas) {
  "use strict";

  const NOTHING = "–", MINUS = "−", FEW_IMAGES = 10, CLAIMED = 0.05;
  const EVERYWHERE = "all";

  const there = (value) => value !== null && value !== undefined && !Number.isNaN(value);
  const fixed = (value, digits = 2) => (there(value) ? value.toFixed(digits).replace("-", MINUS) : NOTHING);
  const whole = (value) => (there(value) ? Math.round(value).toLocaleString("en") : NOTHING);
  const number = (value) => (there(value) ? String(Number(value.toPrecision(3))).replace("-", MINUS) : NOTHING);

  function percent(share) {
    if (!there(share)) return NOTHING;
    const hundredths = 100 * share;
    const digits = hundredths === 0 || hundredths >= 10 ? 0 : hundredths >= 1 ? 1 : hundredths >= 0.1 ? 2 : 3;
    return `${hundredths.toFixed(digits)} %`;
  }

  const interval = (low, high, digits = 2) =>
    (there(low) && there(high) ? `[${fixed(low, digits)}, ${fixed(high, digits)}]` : "");

  function chance(value) {
    return there(value) ? (value < 0.001 ? "< 0.001" : value.toFixed(value < 0.1 ? 3 : 2)) : NOTHING;
  }

  const count = (n, noun, plural = `${noun}s`) => `${whole(n)} ${n === 1 ? noun : plural}`;
  const cellName = (cell) => `${cell.data}, ${cell.backbone}, layer ${cell.layer}, ${cell.sae}`;

  /* The best evidence for a name of a latent, of the columns: null where none is asked for. */
  function named(cell, s) {
    const c = cell.columns, concept = cell.concepts[c.concept[s]];
    if (c.concept[s] === atlas.NOBODY || !concept) return null;
    const [f1, low, high, nil, p] = [c.f1, c.low, c.high, c.null, c.chance].map((column) => column[s]);
    return { ...concept, f1, low, high, null: nil, chance: p, probed: c.probed[s] > 0, claimed: p <= CLAIMED };
  }

  const dead = (cell, s) => cell.columns.frequency[s] === 0;

  function title(cell, s) {
    const name = named(cell, s);
    if (dead(cell, s)) return "dead";
    return name && name.claimed ? name.name : "no name";
  }

  /* What it is. */
  function what(cell, s) {
    const name = named(cell, s), units = cell.grid ? "patches" : "tokens";
    if (dead(cell, s)) return `Dead: it fired on none of the training ${units}.`;
    if (!name) return "Nothing is labelled in these data, so no name can be tested: look at the images.";
    const evidence = `F1 ${fixed(name.f1)}${name.low >= 0 ? ` ${interval(name.low, name.high)}` : ""} on validation images`;
    const by = `${fixed(name.null)} by chance`;
    if (!name.claimed) {
      return `No concept beats its null here. The closest is ${name.name}: ${evidence}, ${by} (p ${chance(name.chance)}).`;
    }
    const verb = name.f1 >= 0.5 ? "Detects" : name.f1 >= 0.25 ? "Prefers" : "Weakly prefers";
    const how = name.probed
      ? `q ${chance(name.chance)} over the ${name.kind}`
      : `p ${chance(name.chance)} for the best of ${whole(cell.latents)} latents`;
    return `${verb} ${name.name}: ${evidence}, ${by} (${how}).`;
  }

  /* How sure that is. */
  function sure(cell, s) {
    const said = [], cosine = cell.columns.stability[s], stability = cell.scores.stability;
    if (dead(cell, s)) return "";
    if (!there(cosine) || !stability) {
      said.push("No other seed was trained: whether another run would find it again is not known.");
    } else if (cosine > stability.null) {
      said.push(`${count(cell.seeds.length, "other seed")} found a latent like it (mean cosine ${fixed(cosine)}, ${fixed(stability.null)} by chance).`);
    } else {
      said.push(`Other seeds did not find it again (mean cosine ${fixed(cosine)}, no more than chance, ${fixed(stability.null)}): it may be an accident of this run.`);
    }
    if (cell.untrained) said.push("The backbone has random weights: what is found here is no evidence of anything learnt.");
    return said.join(" ");
  }

  /* What editing it does. */
  function editing(cell, told) {
    if (cell.edits.reason) return `Nothing was edited: ${cell.edits.reason}.`;
    const [first] = Object.entries(told.edits || {});
    if (!first) return "It was not edited: the study edits the latents that were chosen for classes.";
    const [name, rows] = first, place = rows.some((row) => row.place === EVERYWHERE) ? EVERYWHERE : rows[0].place;
    const here = rows.filter((row) => row.place === place);
    const strength = here.some((row) => row.strength === -1) ? -1 : here[0].strength;
    const at = here.filter((row) => row.strength === strength);
    const chosen = at.find((row) => !isControl(row)), controls = at.filter(isControl);
    if (!chosen) return "It was not edited.";
    const does = (row) => `${percent(row.target)} of the answers on ${name} and ${percent(row.other)} of the others`;
    const edit = strength === 0 ? "Set to 0 (ablation)" : `Set to ${number(strength)} × its largest code`;
    const where = place === EVERYWHERE ? "on all patches" : `on ${place} patches`;
    const said = [`${edit} ${where}, it changes ${does(chosen)}.`];
    if (!controls.length) {
      said.push(`No control was measured on ${name}, so what any edit would do is not known.`);
    } else {
      const against = controls.map((row) => `a ${row.method} ${percent(row.target)} and ${percent(row.other)}`);
      said.push(`${beats(chosen, controls) ? "That is more than its controls do" : "That is no more than a control does"}: ${against.join("; ")}.`);
    }
    const few = Math.min(...at.map((row) => row.images));
    if (few < FEW_IMAGES) said.push(`Only ${count(few, "image")} of ${name}: too few for an interval, so an indication at most.`);
    return said.join(" ");
  }

  const isControl = (row) => row.method !== "chosen latent";

  /* Whether the claim changes more of its target than any control, and more beyond the others. */
  function beats(chosen, controls) {
    return controls.every((row) => chosen.target > row.target && chosen.target - chosen.other > row.target - row.other);
  }

  atlas.words = {
    NOTHING, CLAIMED, there, fixed, whole, number, percent, interval, chance, count, cellName,
    named, dead, title, what, sure, editing, isControl, beats,
  };
})(window.atlas);
