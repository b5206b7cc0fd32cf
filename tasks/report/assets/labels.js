// Names at the middle of the clusters: the largest first, none over another.
if (plot) {
  let centres = [];
  const middle = (values) => { values.sort((a, b) => a - b); return values[values.length >> 1]; };
  function find() {
    const means = plot.means()?.named || plot.means(), layer = plot.layer(), found = new Map();
    centres = [];
    if (!means || !means.entries || means.entries.length > 400) return;
    const every = Math.max(1, Math.floor(plot.n / 60000));
    const small = new Set(means.entries.filter((code) => means.size(code) * every < 2000));
    for (let i = 0; i < plot.n; i++) {
      const code = means.lookup ? means.lookup[means.codes[i]] : means.codes[i];
      if (!code || layer[i] === 3 || (state.cluster >= 0 && layer[i] !== 2) || (i % every && !small.has(code))) continue;
      if (!found.has(code)) found.set(code, [[], []]);
      found.get(code)[0].push(plot.x[i]); found.get(code)[1].push(plot.y[i]);
    }
    const shown = [...found.values()].reduce((sum, [xs]) => sum + xs.length, 0), least = state.cluster >= 0 ? 0.02 * shown : 0; // stray cells name nothing
    centres = [...found].filter(([, [xs]]) => xs.length >= least).map(([code, [xs, ys]]) => ({ text: means.label(code), x: middle(xs), y: middle(ys), size: xs.length })).sort((a, b) => b.size - a.size).slice(0, 150);
  }
  const onPlot = (context) => {
    if (!byId("label-choice").checked) return;
    const ratio = plot.ratio(), height = 13 * ratio, taken = [], { camera } = plot, [w, h] = plot.size();
    context.font = `600 ${height}px system-ui, sans-serif`;
    context.textAlign = "center"; context.textBaseline = "middle"; context.lineJoin = "round";
    context.lineWidth = 3.5 * ratio; context.strokeStyle = themed("--paper"); context.fillStyle = themed("--ink");
    for (const { text, x, y } of centres) {
      const shown = text.length > 28 ? `${text.slice(0, 27)}…` : text, half = context.measureText(shown).width / 2 + 3;
      const px = Math.min(w - half, Math.max(half, camera.x + camera.scale * x)), py = camera.y - camera.scale * y;
      if (py < height || py > h - height || camera.x + camera.scale * x < 0 || camera.x + camera.scale * x > w) continue;
      const shift = [0, -1.15, 1.15].find((s) => !taken.some((t) => Math.abs(t[0] - px) < t[2] + half && Math.abs(t[1] - py - s * height) < height * 1.1));
      if (shift === undefined) continue;
      taken.push([px, py + shift * height, half]);
      context.strokeText(shown, px, py + shift * height); context.fillText(shown, px, py + shift * height);
    }
  };
  plot.label(onPlot);
  plot.findLabels = find;
  byId("label-choice").onchange = () => plot.draw();
}
