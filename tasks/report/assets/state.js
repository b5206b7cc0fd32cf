// What is chosen: a tree and one of its clusters (-1: none), what colours the plot, and what the legend hides.
const state = { tree: 0, cluster: -1, color: null, hidden: new Set() };
const watchers = [];
const watch = (watcher) => watchers.push(watcher);
function change(what) {
  const before = { ...state };
  Object.assign(state, what);
  if (what.tree !== undefined && what.tree !== before.tree && what.cluster === undefined) state.cluster = -1;
  if (what.color && what.color !== before.color) state.hidden = new Set();
  for (const watcher of watchers) watcher(state, before);
  remember();
}
function choose(tree, cluster, follow = true) {
  const color = state.color;
  const recolor = follow && cluster >= 0 && color && color.tree !== undefined && color.tree !== tree;
  change({ tree, cluster, ...(recolor ? { color: coloringOf(tree, trees[tree].level[cluster], isStability(color)) } : {}) });
}
// The colouring by the clusters of a column, or by their stability where there is one.
function coloringOf(tree, level, stability) {
  const found = colorings.filter((c) => c.tree === tree && c.level === level);
  return found.find((c) => isStability(c) === stability) || found[0];
}
const colorings = [
  ...trees.flatMap((tree, t) => tree.columns.map((name, level) => ({ name, tree: t, level }))),
  ...facts.stability.map(({ name, tree, level }, stable) => ({ name, tree, level, stable })),
  ...facts.covariates.map((covariate, v) => ({ name: covariate.name, covariate: v })),
  ...(facts.view ? facts.genes.map((gene, g) => ({ name: gene.name, gene: g })) : []),
];
function remember() {
  const tree = trees[state.tree];
  const parts = new URLSearchParams();
  if (tree && state.cluster >= 0) { parts.set("column", tree.columns[tree.level[state.cluster]]); parts.set("cluster", tree.label[state.cluster]); }
  if (state.color) parts.set("color", state.color.name);
  try { history.replaceState(null, "", `#${parts}`); } catch { /* some browsers refuse it to files */ }
}
function recalled() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const t = trees.findIndex((tree) => tree.columns.includes(parts.get("column")));
  const cluster = t < 0 ? -1 : trees[t].label.findIndex((label, i) => label === parts.get("cluster") && trees[t].columns[trees[t].level[i]] === parts.get("column"));
  const tree = Math.max(t, 0);
  return { tree, cluster, color: colorings.find((c) => c.name === parts.get("color")) || colorings.find((c) => c.tree === tree && c.level === 0) || colorings[0] || null };
}
