// Marker genes of sisters: a row for each, a column for each of their best genes; the size is the share of cells that express it.
const families = facts.dots.families, AGAINST = { sisters: "its sisters", all: "all others" };
let dotsAt = 0, shownFamily = null, chosenCount = 0;
for (const family of families) {
  family.start = dotsAt;
  family.wide = family.clusters.length + 1;
  dotsAt += family.genes.length * family.wide;
}
const familyOf = (tree, i) => { // of the nearest cluster on its way that has sisters: a single child has its parent's cells
  for (let at = i; at >= 0; at = trees[tree].parent[at]) {
    const found = families.find((family) => family.tree === tree && family.parent === trees[tree].parent[at]);
    if (found) return [found, at];
  }
  return [families.find((family) => family.tree === tree && family.parent < 0), -1];
};
const familyName = (family) => { const tree = trees[family.tree]; return `${tree.columns[tree.level[family.clusters[0]]]}: ${family.parent < 0 ? "all clusters" : `children of ${tree.label[family.parent]}`}`; };
const meanOf = (family, g, row) => (arrays["dots/means"][family.start + g * family.wide + row] / 255) * family.highest[g];
const shareOf = (family, g, row) => arrays["dots/shares"][family.start + g * family.wide + row] / 255;
// The best genes of the clusters, each once: with the cluster, of those that name it, that has most of it.
function dotColumns(family, against, most) {
  const owner = new Map();
  family.best[against].forEach((genes, row) => genes.slice(0, most).forEach((g, rank) => {
    const other = owner.get(g);
    if (!other || meanOf(family, g, row) > meanOf(family, g, other.row)) owner.set(g, { row, rank });
  }));
  return [...owner].map(([g, { row, rank }]) => ({ g, row, rank })).sort((a, b) => a.row - b.row || a.rank - b.rank);
}
function drawDots() {
  const box = byId("dotplot-rows"), family = shownFamily;
  if (!family) return;
  const tree = trees[family.tree], against = byId("dotplot-against").value, relative = byId("dotplot-scale").value === "gene", rows = family.clusters.length;
  const most = chosenCount || (rows <= 8 ? 3 : rows <= 20 ? 2 : 1);
  byId("dotplot-count").value = most;
  const columns = dotColumns(family, against, most), cut = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);
  if (!columns.length) return box.replaceChildren(el("p", { class: "hint" }, "No cluster here has a gene that it has more of."));
  const names = columns.map(({ g }) => facts.dots.genes[family.genes[g]]), labels = [...family.clusters.map((i) => `${cut(tree.label[i], 18)} (${count(tree.cells[i])})`), "all cells"];
  const step = 20, row = 22, left = 34 + 7 * Math.max(...labels.map((text) => text.length)), top = 22 + 7.2 * Math.max(...names.map((name) => Math.min(name.length, 18)));
  const groups = columns.map((of, c) => (c && of.row !== columns[c - 1].row ? 1 : 0)); // a gap before each cluster's genes
  let gaps = 0;
  const xs = columns.map((_, c) => left + step / 2 + c * step + 8 * (gaps += groups[c])), y = (r) => top + row / 2 + r * row + (r === rows ? 6 : 0);
  const W = xs[xs.length - 1] + step, H = y(rows) + row / 2 + 4, highest = Math.max(...columns.flatMap(({ g }) => family.clusters.map((_, r) => meanOf(family, g, r))), 1e-12);
  const [, mine] = state.cluster >= 0 && state.tree === family.tree ? familyOf(state.tree, state.cluster) : [null, -1];
  const dots = columns.flatMap(({ g }, c) => labels.map((label, r) => {
    const share = shareOf(family, g, r), mean = meanOf(family, g, r), part = Math.min(1, relative ? mean / (family.highest[g] || 1) : mean / highest);
    return share ? el("circle", { cx: xs[c], cy: y(r), r: (0.8 + 8.2 * Math.sqrt(share)).toFixed(1), style: `--part:${part.toFixed(3)}`, onclick: r < rows ? () => choose(family.tree, family.clusters[r]) : null }, el("title", {}, `${names[c]} in ${r < rows ? tree.label[family.clusters[r]] : label}: ${percent(share)} of the cells, mean ${brief(+mean.toPrecision(3))}`)) : null;
  }));
  const heads = names.map((name, c) => el("text", { transform: `translate(${xs[c] + 4} ${top - 14}) rotate(-90)` }, cut(name, 18), el("title", {}, name)));
  const bars = columns.map(({ row: r }, c) => el("path", { d: `M${xs[c] - step / 2} ${top - 6}H${xs[c] + step / 2}`, stroke: tree.color[family.clusters[r]], "stroke-width": 5 }, el("title", {}, `best of ${tree.label[family.clusters[r]]}`)));
  const sides = labels.map((label, r) => {
    if (r === rows) return el("text", { x: left - 12, y: y(r) + 4, "text-anchor": "end", class: "soft" }, label);
    const i = family.clusters[r], pick = () => choose(family.tree, i);
    return el("g", { role: "button", tabindex: "0", "data-cluster": i, class: i === mine ? "chosen" : null, "aria-label": `Cluster ${tree.label[i]}, ${count(tree.cells[i])} cells; its best genes: ${columns.filter((of) => of.row === r).map((of) => facts.dots.genes[family.genes[of.g]]).join(", ") || "none here"}`, onclick: pick, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } } },
      el("path", { class: "ground", d: `M0 ${y(r) - row / 2}H${W}V${y(r) + row / 2}H0Z` }), el("circle", { cx: 10, cy: y(r), r: 6, fill: tree.color[i], stroke: "none" }), el("text", { x: left - 12, y: y(r) + 4, "text-anchor": "end" }, label));
  });
  const rule = el("path", { d: `M0 ${y(rows) - row / 2 - 3}H${W}`, stroke: "var(--line)" });
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.cluster : undefined; // it stays on its row
  box.replaceChildren(el("div", { class: "scroll dots", tabindex: "0", role: "region", "aria-label": `Dot plot of ${familyName(family)}` }, el("svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H, style: "max-width:none" }, ...sides, rule, ...bars, ...heads, el("g", { class: "values", "aria-hidden": "true" }, ...dots))), dotsKey(relative, highest));
  if (focused !== undefined) box.querySelector(`[data-cluster="${focused}"]`)?.focus();
  const alone = mine >= 0 && mine !== state.cluster ? ` ${tree.label[state.cluster]} has no sisters: shown is ${tree.label[mine]} among its own.` : "";
  byId("dotplot-said").textContent = `The best genes of each of ${count(rows)} clusters against ${AGAINST[against]}; a gene that several have stands once, with the one whose mean is highest.${family.more ? ` The ${rows} largest of ${count(rows + family.more)} clusters.` : ""}${alone}`;
}
function dotsKey(relative, highest) {
  const sizes = [0.1, 0.5, 1].map((share) => el("span", {}, el("svg", { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" }, el("circle", { cx: 10, cy: 10, r: 0.8 + 8.2 * Math.sqrt(share), style: "--part:0" })), percent(share)));
  return el("div", { class: "key dots" }, el("span", {}, "Cells that express it:"), ...sizes, el("span", {}, relative ? "Mean, of the gene's highest:" : `Mean of ${facts.dots.matrix}, as logarithms:`), el("span", {}, "0", el("i", { class: "shades" }), relative ? "100 %" : brief(+highest.toPrecision(3))));
}
function showFamily(family) {
  if (family === shownFamily || !family) return drawDots();
  shownFamily = family;
  byId("dotplot-family").selectedIndex = families.indexOf(family);
  drawDots();
}
byId("dotplot").hidden = !families.length;
if (families.length) {
  byId("dotplot-family").replaceChildren(...families.map((family) => el("option", {}, familyName(family))));
  byId("dotplot-against").replaceChildren(...Object.keys(families[0].best).map((kind) => el("option", { value: kind }, AGAINST[kind])));
  byId("dotplot-family").onchange = (event) => showFamily(families[event.target.selectedIndex]);
  byId("dotplot-count").onchange = (event) => { chosenCount = Number(event.target.value); drawDots(); };
  for (const id of ["dotplot-against", "dotplot-scale"]) byId(id).onchange = drawDots;
  if (facts.dots.left) byId("dotplot-note").textContent = `There is no room here for ${count(facts.dots.left)} more groups of sisters; markers.parquet has their genes.`;
}
