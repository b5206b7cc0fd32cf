// The table of all clusters.
const allColumns = trees.flatMap((tree, t) => tree.columns.map((name, level) => ({ name, tree: t, level })));
let mostRows = 250;
function drawClusters() {
  const choice = allColumns[byId("clusters-column").selectedIndex];
  if (!choice) return;
  const tree = trees[choice.tree], wanted = byId("clusters-find").value.trim();
  const found = tree.at[choice.level].filter((i) => !wanted || tree.label[i] === wanted || tree.label[i].includes(wanted) || tree.reasons[tree.reason[i]].includes(wanted));
  const names = ["cluster", "parent", "cells", "of parent", ...(tree.stability ? ["stability"] : []), "children", "why not split", "its split: modularity", "its split: resolution", "its split: engine", "its split: seconds", "its split: from"];
  const rows = found.slice(0, mostRows).map((i) => {
    const parent = tree.parent[i], share = tree.cells[i] / (parent < 0 ? tree.total : tree.cells[parent]), tried = tree.resolution[i] !== null;
    const cell = (text, order) => el("td", { class: typeof order === "number" ? "number" : null, "data-order": order ?? null }, text);
    const stabilityCell = (value) => el("td", { class: "number", "data-order": value ?? -1 }, value === null ? "" : rounded(value), value === null ? null : stabilityBar(value));
    return el("tr", { "data-cluster": i, class: choice.tree === state.tree && i === state.cluster ? "chosen" : null },
      el("th", { scope: "row", "data-order": tree.label[i] }, el("button", { type: "button", class: "pick", "aria-label": `Choose ${tree.label[i]}`, onclick: () => { choose(choice.tree, i); } }, swatch(tree.color[i]), tree.label[i])),
      cell(parent < 0 ? "" : tree.label[parent]), cell(count(tree.cells[i]), tree.cells[i]), cell(percent(share), share), tree.stability ? stabilityCell(tree.stability[i]) : null, cell(tree.children[i] || "", tree.children[i]), cell(tree.reasons[tree.reason[i]]),
      cell(tree.modularity[i] === null ? "" : tree.modularity[i].toFixed(3), tree.modularity[i] ?? 0), cell(tried ? brief(tree.resolution[i]) : "", tree.resolution[i] ?? 0), cell(tree.engines[tree.engine[i]]), cell(tried ? brief(tree.seconds[i]) : "", tree.seconds[i] ?? 0), cell(tried ? (tree.cached[i] ? "cache" : "this run") : ""));
  });
  const table = el("table", {}, el("caption", {}, `Clusters of ${choice.name}; “its split” is that of the cluster itself, into the next level`), el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col", class: ["cells", "of parent", "stability", "children", "its split: modularity", "its split: resolution", "its split: seconds"].includes(name) ? "number" : null }, name)))), el("tbody", {}, ...rows));
  sortable(table);
  const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Clusters of ${choice.name}` }, table), more = found.length - rows.length;
  byId("clusters-rows").replaceChildren(box, ...(more > 0 ? [el("button", { type: "button", onclick: () => { mostRows = Infinity; drawClusters(); } }, `Show ${count(more)} more`)] : []));
  byId("clusters-count").textContent = `${count(found.length)} of ${count(tree.at[choice.level].length)} clusters`;
}
function markClusters() {
  const choice = allColumns[byId("clusters-column").selectedIndex], tree = trees[state.tree];
  if (tree && state.cluster >= 0 && (choice.tree !== state.tree || choice.level !== tree.level[state.cluster])) {
    byId("clusters-column").selectedIndex = allColumns.findIndex((c) => c.tree === state.tree && c.level === tree.level[state.cluster]);
    return drawClusters();
  }
  byId("clusters-rows").querySelectorAll("tr[data-cluster]").forEach((row) => row.classList.toggle("chosen", choice.tree === state.tree && Number(row.dataset.cluster) === state.cluster));
}
byId("clusters-column").onchange = drawClusters;
byId("clusters-find").oninput = drawClusters;
