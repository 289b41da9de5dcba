// Elements, numbers, and what is said to the reader.

export const $ = (id) => document.getElementById(id);

// el("p", {class: "soft", onclick: f}, "text", child): text is never read as HTML.
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  if (chosen !== undefined && pairs.some(([value]) => value === chosen)) select.value = chosen;
}

// 0.123 -> .12, the way intervals are printed
export const share = (x) => (x === null || x === undefined ? "–" : x.toFixed(2).replace(/^(-?)0\./, "$1."));
export const percent = (x) => (x < 0.001 && x > 0 ? "< .1 %" : `${(100 * x).toFixed(x < 0.1 ? 1 : 0)} %`);
export const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + String(Math.abs(x));

export function say(text, wrong = false) {
  const said = $("said");
  said.textContent = text;
  said.classList.toggle("error", wrong);
}

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
