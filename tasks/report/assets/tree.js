// The tree, after the pattern of the WAI-ARIA practices: one stop for the tab key, arrows within.
let treeItems = new Map();
function drawTree() {
  const tree = trees[state.tree], root = byId("tree");
  treeItems = new Map();
  root.replaceChildren(...(tree ? tree.tops.map((i, at) => treeItem(tree, i, at, tree.tops.length, tree.label.length <= 40)) : []));
  root.setAttribute("aria-label", tree ? `Clusters of ${tree.name}` : "No clusters");
  root.classList.toggle("rated", Boolean(tree && tree.stability));
  byId("tree-note").hidden = !tree || !(tree.stability || tree.replicability);
  byId("tree-note").textContent = [tree && tree.stability ? `Bars at the right: stability, 0 to 1. ${stabilitySaid}` : "", tree && tree.replicability ? "Dots: replicability of a cluster's own split, full at 1; a ring is a split that does not stand." : ""].filter(Boolean).join(" ");
  if (root.firstElementChild) root.firstElementChild.tabIndex = 0;
}
function treeItem(tree, i, at, of, open) {
  const below = tree.below[i], parent = tree.parent[i], share = tree.cells[i] / (parent < 0 ? tree.total : tree.cells[parent]);
  const why = tree.reasons[tree.reason[i]], same = parent >= 0 && tree.below[parent].length === 1, stability = tree.stability ? tree.stability[i] : null;
  const row = el("div", { class: "row", title: why || `split into ${tree.children[i]}` }, el("span", { class: "twist", "aria-hidden": "true" }), swatch(tree.color[i]), el("span", { class: "name" }, tree.label[i], tree.replicability ? evidenceDot(tree, i, why) : null, el("span", { class: "share", "aria-hidden": "true" }, el("i", { style: `width:${100 * share}%` }))), tree.stability ? stabilityBar(stability) : null, el("span", { class: "count" }, count(tree.cells[i])));
  const item = el("li", { role: "treeitem", tabindex: "-1", class: same ? "same" : null, "aria-level": tree.level[i] + 1, "aria-setsize": of, "aria-posinset": at + 1, "aria-selected": String(i === state.cluster), "aria-label": `${tree.label[i]}, ${count(tree.cells[i])} cells, ${percent(share)} of ${parent < 0 ? "all" : tree.label[parent]}, ${why || `split into ${tree.children[i]}`}${stability === null ? "" : `, stability ${rounded(stability)}`}${tree.replicability && tree.replicability[i] !== null ? `, replicability ${tree.replicability[i].toFixed(2)}` : ""}`, "data-cluster": i }, row);
  treeItems.set(i, item);
  if (below.length) { item.setAttribute("aria-expanded", "false"); toggle(item, open); }
  return item;
}
function evidenceDot(tree, i, why) {
  const value = tree.replicability[i];
  return value === null ? null : el("span", { class: `dot${why ? " refused" : ""}`, style: `--full:${Math.max(0, Math.min(1, value)).toFixed(2)}`, title: `replicability of its split ${value.toFixed(2)}`, "aria-hidden": "true" });
}
function toggle(item, open) {
  if (!item.hasAttribute("aria-expanded")) return;
  const tree = trees[state.tree], i = Number(item.dataset.cluster), below = tree.below[i];
  item.setAttribute("aria-expanded", String(open));
  item.querySelector(":scope > .row > .twist").textContent = open ? "▾" : "▸";
  let group = item.querySelector(":scope > ul");
  if (open && !group) { group = el("ul", { role: "group" }, ...below.map((c, at) => treeItem(tree, c, at, below.length, tree.label.length <= 40))); item.append(group); }
  if (group) group.hidden = !open;
}
function reveal(i) {
  const path = pathOf(trees[state.tree], i);
  for (const above of path.slice(0, -1)) if (treeItems.has(above)) toggle(treeItems.get(above), true);
  return treeItems.get(i);
}
function markTree(before) {
  if (before.tree !== state.tree) return drawTree(), markTree({ tree: state.tree, cluster: -1 });
  treeItems.get(before.cluster)?.setAttribute("aria-selected", "false");
  if (state.cluster < 0) return;
  const item = reveal(state.cluster), box = byId("tree");
  item.setAttribute("aria-selected", "true");
  rove(item, false);
  const offset = item.getBoundingClientRect().top - box.getBoundingClientRect().top;
  if (offset < 0 || offset > box.clientHeight - 30) box.scrollTop += offset - box.clientHeight / 3;
}
function rove(item, focus = true) {
  byId("tree").querySelectorAll('[tabindex="0"]').forEach((other) => { other.tabIndex = -1; });
  item.tabIndex = 0;
  if (focus) item.focus();
}
const shownItems = () => [...byId("tree").querySelectorAll('[role="treeitem"]')].filter((item) => !item.parentElement.closest("[hidden]"));
byId("tree").addEventListener("click", (event) => {
  const item = event.target.closest('[role="treeitem"]');
  if (!item) return;
  if (event.target.closest(".twist") && item.hasAttribute("aria-expanded")) { rove(item); return toggle(item, item.getAttribute("aria-expanded") !== "true"); }
  rove(item);
  const i = Number(item.dataset.cluster);
  choose(state.tree, i === state.cluster ? -1 : i);
});
byId("tree").addEventListener("keydown", (event) => {
  const item = event.target.closest('[role="treeitem"]'), items = shownItems(), at = items.indexOf(item), open = item?.getAttribute("aria-expanded");
  if (!item) return;
  if (event.key === "ArrowDown") items[at + 1] && rove(items[at + 1]);
  else if (event.key === "ArrowUp") items[at - 1] && rove(items[at - 1]);
  else if (event.key === "Home") rove(items[0]);
  else if (event.key === "End") rove(items.at(-1));
  else if (event.key === "ArrowRight") open === "false" ? toggle(item, true) : open === "true" && rove(items[at + 1]);
  else if (event.key === "ArrowLeft") { const above = item.parentElement.closest('[role="treeitem"]'); open === "true" ? toggle(item, false) : above && rove(above); }
  else if (event.key === "Enter" || event.key === " ") choose(state.tree, Number(item.dataset.cluster));
  else if (event.key === "Escape") choose(state.tree, -1);
  else return;
  event.preventDefault();
});
byId("expand").onclick = () => { for (let i = 0; i < trees[state.tree].label.length; i++) if (treeItems.has(i)) toggle(treeItems.get(i), true); };
byId("collapse").onclick = () => treeItems.forEach((item) => toggle(item, false));
