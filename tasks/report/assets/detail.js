// What is known of the chosen cluster: its way, its split, what it is composed of.
function drawDetail() {
  const box = byId("detail"), tree = trees[state.tree], i = state.cluster;
  if (!tree) return;
  if (i < 0) { byId("said").textContent = "No cluster is chosen."; return box.replaceChildren(el("p", { class: "hint" }, "No cluster is chosen.")); }
  const parent = tree.parent[i], why = tree.reasons[tree.reason[i]], share = tree.cells[i] / tree.total;
  const of = parent < 0 ? null : tree.cells[i] / tree.cells[parent], column = tree.columns[tree.level[i]];
  const crumbs = el("ol", { class: "crumbs", "aria-label": "Path" }, el("li", {}, el("button", { type: "button", onclick: () => choose(state.tree, -1) }, "all cells")), ...pathOf(tree, i).map((at) => el("li", {}, at === i ? el("strong", { "aria-current": "true" }, `${tree.label[at]} (${count(tree.cells[at])})`) : el("button", { type: "button", onclick: () => choose(state.tree, at) }, `${tree.label[at]} (${count(tree.cells[at])})`))));
  const pairs = [["Cells", `${count(tree.cells[i])}, ${percent(share)} of all${of === null ? "" : `, ${percent(of)} of ${tree.label[parent]}`}`], ["Split", why ? `no: ${why}` : `into ${tree.children[i]}`]];
  if (tree.stability && tree.stability[i] !== null) pairs.push(["Stability", `${rounded(tree.stability[i])} of 1${tree.stability[i] < facts.low ? ": other seeds do not find it again" : ""}`]);
  if (tree.purity && tree.purity[i] !== null) pairs.push(["Among its sisters", `${percent(tree.purity[i])} of its neighborhoods are its own; ${tree.separation[i].toFixed(1)} standard deviations from the nearest`]);
  if (tree.markers && tree.markers[i] !== null) pairs.push(["Markers", `${count(tree.markers[i])} genes over the sister that is most alike`]);
  if (tree.replicability && tree.replicability[i] !== null) pairs.push(["Evidence for its split", `halves agree with ARI ${tree.replicability[i].toFixed(2)}${tree.expected[i] === null ? "" : `, clouds without groups with ${tree.expected[i].toFixed(2)}`}${tree.p[i] === null ? "" : `, p ${brief(tree.p[i])}`}`]);
  if (tree.resolution[i] !== null) {
    if (tree.runs && tree.runs[i]) pairs.push(["Runs of its split", tree.runs[i] > 1 ? `${tree.runs[i]}, joined; they agree with ARI ${tree.agreement[i].toFixed(2)}` : "1"]);
    pairs.push(["Modularity of its split", tree.modularity[i] === null ? "" : tree.modularity[i].toFixed(3)]);
    pairs.push(["Time of its split", `${brief(tree.seconds[i])} s, ${tree.cached[i] ? "from the cache" : "computed in this run"}`]);
    pairs.push(["Split tried with", [`resolution ${tree.resolution[i]}`, tree.graphs[tree.graph[i]], tree.engines[tree.engine[i]]].filter(Boolean).join(", ")]);
  }
  box.replaceChildren(
    el("h3", {}, `Cluster ${tree.label[i]} of ${column}`), crumbs,
    el("dl", {}, ...pairs.map(([name, value]) => el("div", { class: typeof value === "string" && value.length >= 36 ? "long" : null }, el("dt", {}, name), el("dd", {}, value)))),
    el("div", { class: "shares" }, ...facts.covariates.map((covariate, v) => (isText(covariate) ? shareBars(tree, i, v) : histogram(tree, i, v)))),
  );
  byId("said").textContent = `Cluster ${tree.label[i]} of ${column}: ${count(tree.cells[i])} cells, ${percent(share)} of all, ${why ? `not split, ${why}` : `split into ${tree.children[i]}`}.`;
}
function shareBars(tree, i, v) {
  const covariate = facts.covariates[v], own = composition(tree, v, i, tree.last[i]), all = composition(tree, v, 0, tree.label.length - 1);
  const order = [...own.counts.keys()].filter((k) => own.counts[k]).sort((a, b) => own.counts[b] - own.counts[a]), shown = order.slice(0, 8);
  const rest = order.slice(8).reduce((sum, k) => sum + own.counts[k], 0);
  const rows = shown.map((k) => el("tr", {}, el("th", { scope: "row" }, covariate.labels[k]), el("td", {}, el("div", { class: "track", title: `${percent(all.counts[k] / all.n)} of all cells` }, el("i", { style: `width:${(100 * own.counts[k]) / own.n}%;background:${covariate.color[k]}` }), el("b", { style: `left:${(100 * all.counts[k]) / all.n}%` }))), el("td", { class: "value" }, `${percent(own.counts[k] / own.n)} (${count(own.counts[k])})`)));
  if (rest) rows.push(el("tr", {}, el("th", { scope: "row" }, `${order.length - 8} more`), el("td"), el("td", { class: "value" }, `${percent(rest / own.n)} (${count(rest)})`)));
  const missing = tree.cells[i] - own.n;
  return el("div", {}, el("h3", {}, covariate.name), el("table", { class: "bars" }, el("caption", { class: "unseen" }, `Cells of ${tree.label[i]} by ${covariate.name}`), el("tbody", {}, ...rows)), el("p", { class: "hint" }, `The line is the share among all cells.${missing > 0 ? ` ${count(missing)} cells have no value.` : ""}`));
}
function histogram(tree, i, v) {
  const covariate = facts.covariates[v], own = composition(tree, v, i, tree.last[i]), all = composition(tree, v, 0, tree.label.length - 1), bins = covariate.bins;
  const W = 300, H = 90, step = W / bins, top = Math.max(...own.counts.map((c) => c / Math.max(1, own.n)), ...all.counts.map((c) => c / Math.max(1, all.n)), 1e-9);
  const line = (of) => `M0 ${H}` + [...of.counts].map((c, b) => `V${(H - (c / Math.max(1, of.n) / top) * (H - 6)).toFixed(1)}H${((b + 1) * step).toFixed(1)}`).join("") + `V${H}Z`;
  const mean = (of) => (of.n ? brief(of.sum / of.n) : "–");
  const said = `Mean ${mean(own)}, of all cells ${mean(all)}`;
  return el("div", {}, el("h3", {}, covariate.name), el("svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H, role: "img", "aria-label": `${covariate.name} of ${tree.label[i]}: ${said}` }, el("path", { d: line(own), fill: tree.color[i], "fill-opacity": ".75" }), el("path", { d: line(all), fill: "none", stroke: "var(--ink)", "stroke-width": "1.2" })), el("div", { class: "ends", style: `max-width:${W}px` }, el("span", {}, brief(covariate.low)), el("span", {}, brief(covariate.high))), el("p", { class: "hint" }, `${said}; the line is all cells, both as shares.`));
}
