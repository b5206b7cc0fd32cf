// Everything is put together, and follows what is chosen.
const option = (text, group) => el("option", {}, text);
const fill = (id, names) => byId(id).replaceChildren(...names.map(option));
fill("tree-choice", trees.map((tree) => tree.name));
fill("clusters-column", allColumns.map((c) => c.name));
fill("composition-column", allColumns.map((c) => c.name));
fill("composition-covariate", texts.map(({ covariate }) => covariate.name));
const groups = [["Clusters", colorings.filter((c) => c.tree !== undefined && !isStability(c))], ["Stability", colorings.filter(isStability)], ["Covariates", colorings.filter((c) => c.covariate !== undefined)], ["Genes", colorings.filter((c) => c.gene !== undefined)]];
byId("color-choice").replaceChildren(...groups.filter(([, some]) => some.length).map(([label, some]) => el("optgroup", { label }, ...some.map((c) => option(c.name)))));
byId("tree-choice").onchange = (event) => { const tree = event.target.selectedIndex; change({ tree, cluster: -1, color: coloringOf(tree, 0, isStability(state.color)) || state.color }); };
byId("color-choice").onchange = (event) => { const color = colorings[event.target.selectedIndex]; change({ color, ...(color.tree !== undefined && color.tree !== state.tree ? { tree: color.tree, cluster: -1 } : {}) }); };
byId("explore").hidden = !trees.length && !plot;
byId("clusters").hidden = !trees.length;
byId("composition").hidden = !texts.length || !trees.length;
document.body.classList.toggle("no-plot", !plot);
Object.assign(state, recalled());
if (plot) {
  const sample = view.shown + view.unplaced < facts.cells ? ` Shown are ${count(view.shown)} of ${count(facts.cells)} cells, drawn at random with some of every cluster; all numbers count all cells.` : "";
  const unplaced = view.unplaced ? ` ${count(view.unplaced)} cells have no place in it.` : "";
  byId("plot-note").textContent = `${view.title}: ${view.note}.${sample}${unplaced}`;
  new ResizeObserver(() => plot.resize()).observe(byId("stage"));
  addEventListener("theme", () => { plot.recolor(); drawLegend(); });
} else if (trees.length) byId("explore-hint").textContent = "The result has no UMAP (recompute_umap: true computes one), and no embedding was read: there is no plot. " + byId("explore-hint").textContent.replace("in the plot or ", "or ").replace("in the tree, or", "in the tree or");
drawTree(); drawDetail(); drawLegend(); drawClustree(); showFamily(families[0]);
byId("composition-column").selectedIndex = 0;
drawClusters(); drawComposition();
watch((now, before) => {
  byId("tree-choice").selectedIndex = now.tree;
  byId("color-choice").selectedIndex = colorings.indexOf(now.color);
  if (now.tree !== before.tree || now.cluster !== before.cluster) { markTree(before); drawDetail(); if (trees.length) markClusters(); markClustree(); if (families.length) showFamily(familyOf(now.tree, now.cluster)[0]); }
  if (now.color !== before.color) drawLegend();
  if (plot) { plot.recolor(); plot.findLabels(); plot.canvas.setAttribute("aria-label", plotSaid()); }
});
function plotSaid() {
  const tree = trees[state.tree], chosen = state.cluster >= 0 ? `; cluster ${tree.label[state.cluster]} stands out` : "";
  return `${view.title} of ${count(view.shown)} cells, coloured by ${state.color ? state.color.name : "nothing"}${chosen}`;
}
const start = { ...state };
state.tree = 0; state.cluster = -1;
change(start);
document.querySelectorAll("main > section:not([hidden])").forEach((section) => { const title = section.querySelector("h2"); if (title) byId("sections-nav").append(el("a", { href: `#${section.id}` }, title.textContent)); });
addEventListener("hashchange", () => { if (location.hash.includes("cluster=")) change(recalled()); });
document.body.dataset.ready = "true";
