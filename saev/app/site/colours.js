// A colour and a number for every class: the number says what the colour says.

// Okabe and Ito's palette, as in the report, then lighter and darker hues far from one another.
const FIRST = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

function colour(rank) {
  if (rank < FIRST.length) return FIRST[rank];
  const hue = (rank * 137.508) % 360;
  return `hsl(${hue.toFixed(0)} ${rank % 2 ? 45 : 60}% ${[38, 66, 52][rank % 3]}%)`;
}

// {class: {number, colour}} of those in these maps, the most frequent first.
export function marks(maps) {
  const counts = new Map();
  for (const map of maps) for (const c of map) counts.set(c, (counts.get(c) ?? 0) + 1);
  const ranked = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return new Map(ranked.map(([c], rank) => [c, { number: rank + 1, colour: colour(rank) }]));
}
