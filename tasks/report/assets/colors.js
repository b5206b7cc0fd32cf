// Colours of values, and the ramp of numbers: viridis without the end that the ground would swallow.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";
function ramp(part) {
  const at = (isDark() ? 0.18 + 0.82 * part : 0.9 * part) * (VIRIDIS.length - 1), i = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[i].map((low, c) => Math.round(low + (VIRIDIS[i + 1][c] - low) * (at - i)));
}
const rgbOf = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const hexOf = (rgb) => `#${rgb.map((c) => c.toString(16).padStart(2, "0")).join("")}`;
const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// The stability, covariate or gene of a colouring, null for clusters.
const isStability = (coloring) => Boolean(coloring) && coloring.stable !== undefined;
const valuesColored = ({ covariate, gene, stable }) => (stable !== undefined ? facts.stability[stable] : covariate !== undefined ? facts.covariates[covariate] : gene !== undefined ? facts.genes[gene] : null);
const rounded = (stability) => (stability < facts.low ? Math.min(stability, facts.low - 0.006) : stability).toFixed(2); // what is below stays below
const stabilitySaid = `Below ${facts.low}, other seeds do not find a cluster again.`;
const stabilityBar = (value) => el("span", { class: `stability${value !== null && value < facts.low ? " low" : ""}`, title: value === null ? "a single run" : `stability ${rounded(value)}`, "aria-hidden": "true" }, value === null ? null : el("i", { style: `width:${100 * value}%` }));
// What a cell's code stands for under a colouring: 0 is none.
function meaning(coloring) {
  if (!coloring) return null;
  if (coloring.tree !== undefined && !isStability(coloring)) {
    const tree = trees[coloring.tree], above = tree.upTo[coloring.level], codes = arrays[`tree/${coloring.tree}`];
    const lookup = Int32Array.from([0, ...above].map((i, at) => (at ? i + 1 : 0)));
    return { lookup, codes, color: (code) => tree.color[code - 1], label: (code) => tree.label[code - 1], size: (code) => tree.cells[code - 1], entries: tree.at[coloring.level].map((i) => i + 1) };
  }
  const covariate = valuesColored(coloring), codes = arrays[isStability(coloring) ? `stability/${coloring.stable}` : coloring.gene !== undefined ? `gene/${coloring.gene}` : `covariate/${coloring.covariate}`];
  if (isText(covariate))
    return { codes, color: (code) => covariate.color[code - 1], label: (code) => covariate.labels[code - 1], size: (code) => covariate.cells[code - 1], entries: covariate.labels.map((_, i) => i + 1) };
  const value = (code) => covariate.low + ((code - 1) / 254) * (covariate.high - covariate.low);
  return { codes, color: (code) => hexOf(ramp((code - 1) / 254)), label: (code) => `about ${isStability(coloring) ? value(code).toFixed(2) : brief(value(code))}`, size: () => 0, entries: null, rising: coloring.gene !== undefined, named: isStability(coloring) ? meaning({ tree: coloring.tree, level: coloring.level }) : null };
}
