// What the colours mean; a press hides or shows a value's cells.
function drawLegend() {
  const means = meaning(state.color), list = byId("legend"), color = state.color;
  byId("legend-title").textContent = color ? color.name : "Legend";
  for (const id of ["legend-all", "legend-none"]) byId(id).hidden = !means || !means.entries;
  list.replaceChildren();
  if (!means) return;
  const covariate = valuesColored(color);
  if (!means.entries) {
    const stops = Array.from({ length: 9 }, (_, i) => hexOf(ramp(i / 8))).join(",");
    const beyond = covariate.least < covariate.low || covariate.most > covariate.high;
    list.append(el("div", { class: "ramp", style: `background:linear-gradient(90deg,${stops})` }), el("div", { class: "ends" }, el("span", {}, brief(covariate.low)), isStability(color) ? el("span", {}, brief(facts.low)) : null, el("span", {}, brief(covariate.high))));
    if (isStability(color)) list.append(el("p", { class: "hint" }, `How far runs with other seeds have the cluster of each cell. ${stabilitySaid}`));
    if (beyond) list.append(el("p", { class: "hint" }, `The outermost 0.5 % at either end, from ${brief(covariate.least)} to ${brief(covariate.most)}, have the end colours.`));
  } else {
    const most = 200, order = [...means.entries];
    if (order.length > most) order.sort((a, b) => means.size(b) - means.size(a));
    for (const code of order.slice(0, most)) {
      const button = el("button", { type: "button", "aria-pressed": String(!state.hidden.has(code)) }, swatch(means.color(code)), el("span", { class: "text" }, means.label(code)), el("span", { class: "count" }, count(means.size(code))));
      button.onclick = () => { const hidden = new Set(state.hidden); hidden.delete(code) || hidden.add(code); button.setAttribute("aria-pressed", String(!hidden.has(code))); change({ hidden }); };
      list.append(button);
    }
    if (order.length > most) list.append(el("p", { class: "hint" }, `The largest ${most} of ${count(order.length)}.`));
  }
  const missing = covariate ? covariate.missing : facts.cells - trees[color.tree].total;
  if (missing > 0) list.append(el("p", { class: "hint" }, swatch("var(--missing)"), ` no value: ${count(missing)} cells`));
}
byId("legend-all").onclick = () => { change({ hidden: new Set() }); drawLegend(); };
byId("legend-none").onclick = () => { change({ hidden: new Set(meaning(state.color).entries) }); drawLegend(); };
