/* Elements, made without markup: whatever a name holds, it is text. */
(function (atlas) {
  "use strict";

  /* h("a", {href: "#", onclick: act, class: "x"}, "text", element, [more]) */
  function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
    return element;
  }

  /* A table with a caption; cells that are numbers stand right. head: [words, title] or words. */
  function table(caption, head, rows, attributes) {
    const titles = head.map((words) => (Array.isArray(words) ? words : [words, null]));
    const words = caption && h("p", { class: "caption" }, caption);  // outside, else it would scroll with the table
    return h("div", {}, words, h("div", { class: "scroll" }, h("table", { "aria-label": caption, ...attributes },
      h("thead", {}, h("tr", {}, titles.map(([words, title]) => h("th", { scope: "col", title }, words)))),
      h("tbody", {}, rows.map((row) => h("tr", { class: row.class }, (row.cells || row).map((cell, i) =>
        i ? h("td", {}, cell) : h("th", { scope: "row" }, cell))))))));
  }

  function section(id, title, ...children) {
    return h("section", { "aria-labelledby": id }, h("h2", { id }, title), children);
  }

  /* What a screen reader is told of a change that the eye sees. */
  function announce(words) {
    document.getElementById("status").textContent = words;
  }

  /* The value of a colour or length of style.css. */
  function css(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  Object.assign(atlas, { h, table, section, announce, css });
})(window.atlas);
