// Moving about in the plot, and finding the cell under the pointer.
if (plot) {
  const { canvas, camera, x, y, n } = plot, GRID = 256, starts = new Uint32Array(GRID * GRID + 1), members = new Uint32Array(n);
  const box = (i) => (y[i] >> 8) * GRID + (x[i] >> 8);
  for (let i = 0; i < n; i++) starts[box(i) + 1]++;
  for (let b = 0; b < GRID * GRID; b++) starts[b + 1] += starts[b];
  const next = starts.slice();
  for (let i = 0; i < n; i++) members[next[box(i)]++] = i;
  const place = (event) => { const rect = canvas.getBoundingClientRect(); return [(event.clientX - rect.left) * plot.ratio(), (event.clientY - rect.top) * plot.ratio()]; };
  function nearest([px, py]) {
    const reach = Math.max(plot.radius() + 2, 6 * plot.ratio()) / camera.scale, cx = (px - camera.x) / camera.scale, cy = (camera.y - py) / camera.scale;
    const from = (v) => Math.max(0, Math.floor((v - reach) / 256)), to = (v) => Math.min(GRID - 1, Math.floor((v + reach) / 256));
    let best = -1, least = reach * reach, layer = plot.layer();
    for (let gy = from(cy); gy <= to(cy); gy++) for (let gx = from(cx); gx <= to(cx); gx++)
      for (let k = starts[gy * GRID + gx]; k < starts[gy * GRID + gx + 1]; k++) {
        const i = members[k], d = (x[i] - cx) ** 2 + (y[i] - cy) ** 2;
        if (layer[i] !== 3 && d < least) { least = d; best = i; }
      }
    return best;
  }
  function zoom(by, px, py) {
    const scale = Math.min(camera.whole * 200, Math.max(camera.whole * 0.5, camera.scale * by)), k = scale / camera.scale;
    camera.x = px - (px - camera.x) * k; camera.y = py - (py - camera.y) * k; camera.scale = scale;
    plot.draw();
  }
  const middle = (by) => zoom(by, ...plot.size().map((s) => s / 2));
  byId("zoom-in").onclick = () => middle(1.5);
  byId("zoom-out").onclick = () => middle(1 / 1.5);
  byId("zoom-all").onclick = () => plot.whole();
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return; // else the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), ...place(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(2, ...place(event)));
  const held = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => { held.set(event.pointerId, place(event)); if (held.size === 1) moved = 0; canvas.setPointerCapture(event.pointerId); });
  const release = (event) => held.delete(event.pointerId);
  canvas.addEventListener("pointerup", (event) => {
    release(event);
    if (moved > 5) return;
    const i = nearest(place(event));
    if (i < 0) return change({ cluster: -1 });
    const color = state.color, t = color && color.tree !== undefined ? color.tree : state.tree;
    if (!trees[t]) return;
    const leaf = arrays[`tree/${t}`][i] - 1, level = color && color.tree !== undefined ? color.level : trees[t].columns.length - 1;
    choose(t, leaf < 0 ? -1 : trees[t].upTo[level][leaf]);
  });
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = held.get(event.pointerId);
    if (before) {
      const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
      moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
      if (other) zoom(Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1])), ...other);
      else { camera.x += now[0] - before[0]; camera.y += now[1] - before[1]; plot.draw(); }
      held.set(event.pointerId, now);
    }
    tell(before && moved > 5 ? -1 : nearest(now), now);
  });
  function tell(i, [px, py]) {
    const tip = byId("tip");
    tip.hidden = i < 0;
    if (i < 0) return;
    const lines = [], color = state.color, t = color && color.tree !== undefined ? color.tree : state.tree, tree = trees[t];
    if (tree) {
      const leaf = arrays[`tree/${t}`][i] - 1, level = color && color.tree !== undefined ? color.level : tree.columns.length - 1, c = leaf < 0 ? -1 : tree.upTo[level][leaf];
      lines.push(c < 0 ? `${tree.columns[level]}: no label` : `${tree.columns[level]}: ${tree.label[c]} (${count(tree.cells[c])} cells)`);
    }
    facts.covariates.forEach((covariate, v) => { const code = arrays[`covariate/${v}`][i]; lines.push(`${covariate.name}: ${code ? meaning({ covariate: v }).label(code) : "missing"}`); });
    if (color && color.gene !== undefined) lines.push(`${color.name}: ${meaning(color).label(arrays[`gene/${color.gene}`][i])}`);
    if (isStability(color)) { const code = arrays[`stability/${color.stable}`][i]; lines.push(`stability: ${code ? meaning(color).label(code) : "a single run"}`); }
    tip.textContent = lines.join("\n");
    const [w] = plot.size(), left = px / plot.ratio(), right = left > w / plot.ratio() / 2;
    tip.style.cssText = `top:${py / plot.ratio() + 12}px;${right ? `right:${w / plot.ratio() - left + 8}px` : `left:${left + 12}px`}`;
  }
  canvas.addEventListener("keydown", (event) => {
    const step = 60 * plot.ratio(), moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) { camera.x += moves[event.key][0]; camera.y += moves[event.key][1]; plot.draw(); }
    else if (event.key === "+" || event.key === "=") middle(1.5);
    else if (event.key === "-") middle(1 / 1.5);
    else if (event.key === "0") plot.whole();
    else if (event.key === "Escape") change({ cluster: -1 });
    else return;
    event.preventDefault();
  });
}
