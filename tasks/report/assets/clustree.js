// How clusters of level 1 pass into those of the next resolution, after clustree.
function drawClustree() {
  const box = byId("clustree-rows"), algorithms = [...new Set(facts.edges.map(([t]) => trees[t].name.split(" ")[0]))];
  byId("clustree").hidden = !facts.edges.length;
  box.replaceChildren(...algorithms.map(clustreeOf));
}
function clustreeOf(algorithm) {
  const edges = facts.edges.filter(([t]) => trees[t].name.split(" ")[0] === algorithm), levels = [];
  for (const [t, , u] of edges) for (const one of [t, u]) if (!levels.includes(one)) levels.push(one);
  levels.sort((a, b) => Number(trees[a].name.split(" ")[1]) - Number(trees[b].name.split(" ")[1]));
  const place = new Map(), row = 92, left = 92, widest = Math.max(...levels.map((t) => trees[t].at[0].length)), right = 40, W = Math.max(560, left + right + widest * 46), key = (t, i) => `${t}/${i}`;
  levels.forEach((t, r) => {
    const weight = (i) => { const into = edges.filter((e) => e[2] === t && e[3] === i), sum = into.reduce((s, e) => s + e[4], 0); return sum && r ? into.reduce((s, e) => s + e[4] * place.get(key(e[0], e[1]))[0], 0) / sum : i; };
    const order = trees[t].at[0].map((i) => [weight(i), i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    order.forEach(([, i], at) => place.set(key(t, i), [left + ((at + 0.5) * (W - left - right)) / order.length, 40 + r * row]));
  });
  const total = trees[levels[0]].total, radius = (n) => 5 + 17 * Math.sqrt(n / total);
  const lines = edges.filter((e) => e[5] >= 0.02 || e[6] >= 0.02).sort((a, b) => a[6] - b[6]).map(([t, i, u, j, n, of, share]) => {
    const [x, y] = place.get(key(t, i)), [p, q] = place.get(key(u, j)), m = (y + q) / 2;
    return el("path", { d: `M${x} ${y}C${x} ${m} ${p} ${m} ${p} ${q}`, fill: "none", stroke: "var(--ink)", "stroke-opacity": (0.06 + 0.6 * share).toFixed(2), "stroke-width": (0.8 + 11 * (n / total)).toFixed(1) }, el("title", {}, `${trees[t].label[i]} to ${trees[u].label[j]}: ${count(n)} cells, ${percent(of)} of the upper, ${percent(share)} of the lower`));
  });
  const dots = levels.flatMap((t) => trees[t].at[0].map((i) => {
    const tree = trees[t], [x, y] = place.get(key(t, i)), r = radius(tree.cells[i]), pick = () => choose(t, i);
    return el("g", { role: "button", tabindex: "0", "data-node": key(t, i), "aria-label": `${tree.name}: cluster ${tree.label[i]}, ${count(tree.cells[i])} cells`, onclick: pick, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } } }, el("circle", { cx: x, cy: y, r, fill: tree.color[i], stroke: "var(--card)", "stroke-width": "2" }), el("text", { x: x + r + 3, y: y + 4 }, tree.label[i]), el("title", {}, `${tree.label[i]}: ${count(tree.cells[i])} cells`));
  }));
  const names = levels.map((t, r) => el("text", { x: 0, y: 44 + r * row, "font-weight": "600" }, trees[t].name));
  const H = 80 + (levels.length - 1) * row;
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${algorithm} across resolutions`, style: "border:0;max-height:none" }, el("svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H, style: `min-width:${Math.min(W, 560)}px` }, ...lines, ...names, ...dots));
}
const markClustree = () => byId("clustree-rows").querySelectorAll("[data-node]").forEach((node) => node.classList.toggle("chosen", node.dataset.node === `${state.tree}/${state.cluster}`));
