// Of what the clusters of a column are composed: stacked bars, the largest cluster first.
const texts = facts.covariates.map((covariate, v) => ({ covariate, v })).filter(({ covariate }) => isText(covariate) && covariate.labels.length);
function drawComposition() {
  const choice = allColumns[byId("composition-column").selectedIndex], one = texts[byId("composition-covariate").selectedIndex];
  if (!choice || !one) return;
  const tree = trees[choice.tree], { covariate, v } = one, most = 80;
  const order = tree.at[choice.level].slice().sort((a, b) => tree.cells[b] - tree.cells[a]), sizes = [...covariate.labels.keys()].sort((a, b) => covariate.cells[b] - covariate.cells[a]);
  const bar = (name, cells, { counts, n }, pick) => {
    const largest = [...counts.keys()].filter((k) => counts[k]).sort((a, b) => counts[b] - counts[a]).slice(0, 3).map((k) => `${covariate.labels[k]} ${percent(counts[k] / n)}`).join(", ");
    return el("tr", {}, el("th", { scope: "row" }, pick), el("td", { class: "number" }, `n=${count(cells)}`), el("td", {}, el("div", { class: "stack", role: "img", "aria-label": n ? `${name}: ${largest}` : `${name}: no values` }, ...[...counts.keys()].filter((k) => counts[k]).map((k) => el("i", { style: `width:${(100 * counts[k]) / n}%;background:${covariate.color[k]}`, title: `${covariate.labels[k]}: ${count(counts[k])} cells, ${percent(counts[k] / n)}` })))));
  };
  const rows = order.slice(0, most).map((i) => bar(tree.label[i], tree.cells[i], composition(tree, v, i, tree.last[i]), el("button", { type: "button", class: "pick", onclick: () => choose(choice.tree, i) }, tree.label[i])));
  const all = bar("all cells", tree.total, composition(tree, v, 0, tree.label.length - 1), "all cells");
  byId("composition-key").replaceChildren(...sizes.slice(0, 60).map((k) => el("span", {}, swatch(covariate.color[k]), covariate.labels[k])), ...(sizes.length > 60 ? [`… ${sizes.length - 60} more`] : []));
  byId("composition-rows").replaceChildren(el("table", { class: "stacks" }, el("caption", { class: "unseen" }, `Clusters of ${choice.name} by ${covariate.name}`), el("tbody", {}, all, ...rows)), ...(order.length > most ? [el("p", { class: "hint" }, `The largest ${most} of ${count(order.length)} clusters.`)] : []));
}
byId("composition-column").onchange = drawComposition;
byId("composition-covariate").onchange = drawComposition;
