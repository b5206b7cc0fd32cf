// The plot: cells as round points, blended into the pixels of a canvas; the chosen cluster's last.
const view = facts.view;
const plot = view && (() => {
  const canvas = byId("plot"), context = canvas.getContext("2d"), n = view.shown;
  const x = summed(arrays.x), y = summed(arrays.y);
  const low = [65535, 65535], high = [0, 0];
  for (let i = 0; i < n; i++) { low[0] = Math.min(low[0], x[i]); high[0] = Math.max(high[0], x[i]); low[1] = Math.min(low[1], y[i]); high[1] = Math.max(high[1], y[i]); }
  const shuffled = new Uint32Array(n);
  let order = shuffled;
  for (let i = 0, seed = 1; i < n; i++) { // a fixed shuffle: no cluster is drawn over another because of its number
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((seed / 4294967296) * (i + 1));
    shuffled[i] = shuffled[j]; shuffled[j] = i;
  }
  const camera = { scale: 1, x: 0, y: 0, whole: 1 };
  let width = 0, height = 0, pixels = null, color = new Uint32Array(n), layer = new Uint8Array(n), means = null, waiting = false;
  function whole() {
    const pad = 24 * ratio();
    camera.scale = camera.whole = Math.min((width - 2 * pad) / Math.max(1, high[0] - low[0]), (height - 2 * pad) / Math.max(1, high[1] - low[1]));
    camera.x = width / 2 - (camera.scale * (low[0] + high[0])) / 2;
    camera.y = height / 2 + (camera.scale * (low[1] + high[1])) / 2;
    draw();
  }
  const ratio = () => Math.min(2, window.devicePixelRatio || 1);
  function resize() {
    const box = canvas.getBoundingClientRect(), w = Math.round(box.width * ratio()), h = Math.round(box.height * ratio());
    if (!w || !h || (w === width && h === height)) return;
    canvas.width = width = w; canvas.height = height = h;
    pixels = context.createImageData(w, h);
    whole();
  }
  function recolor() {
    means = meaning(state.color);
    order = means && means.rising ? rising(means.codes) : shuffled;
    const missing = pack(rgbOf(themed("--missing"))), dim = pack(rgbOf(themed("--dim")));
    const tree = trees[state.tree], chosen = state.cluster, members = chosen >= 0 ? arrays[`tree/${state.tree}`] : null;
    const first = chosen + 1, last = chosen >= 0 ? tree.last[chosen] + 1 : 0, colors = new Map();
    for (let i = 0; i < n; i++) {
      const code = means ? (means.lookup ? means.lookup[means.codes[i]] : means.codes[i]) : 0;
      const inside = !members || (members[i] >= first && members[i] <= last);
      layer[i] = state.hidden.has(code) ? 3 : !inside ? 0 : !code && !members ? 0 : 1 + Number(Boolean(members));
      if (!inside) color[i] = dim;
      else if (!code) color[i] = missing;
      else { if (!colors.has(code)) colors.set(code, pack(rgbOf(means.color(code)))); color[i] = colors.get(code); }
    }
    draw();
  }
  function rising(codes) { // of a gene, higher values are drawn later: most cells have none of it
    const ends = new Uint32Array(257), sorted = new Uint32Array(n);
    for (const code of codes) ends[code + 1]++;
    for (let code = 0; code < 256; code++) ends[code + 1] += ends[code];
    for (const i of shuffled) sorted[ends[codes[i]]++] = i;
    return sorted;
  }
  const pack = ([r, g, b]) => r | (g << 8) | (b << 16);
  function radius() {
    const cover = Math.sqrt((0.3 * width * height) / Math.max(1, n) / Math.PI);
    return Math.min(9, Math.max(0.9 * ratio(), Math.min(3.6 * ratio(), cover)) * Math.sqrt(Math.max(1, camera.scale / camera.whole)));
  }
  function stamp(r) {
    const reach = Math.ceil(r + 0.5), cells = [];
    for (let dy = -reach; dy <= reach; dy++) for (let dx = -reach; dx <= reach; dx++) {
      const alpha = Math.min(1, Math.max(0, r + 0.5 - Math.hypot(dx, dy)));
      if (alpha > 0.02) cells.push([dx, dy, Math.round(alpha * 256)]);
    }
    return { reach, cells };
  }
  function draw() { if (!waiting) { waiting = true; requestAnimationFrame(render); } }
  function render() {
    waiting = false;
    if (!pixels) return;
    const data = pixels.data, ground = pack(rgbOf(themed("--paper"))) | 0xff000000;
    new Uint32Array(data.buffer).fill(ground);
    const { scale, x: ox, y: oy } = camera, r = radius(), layers = state.cluster >= 0 ? [[0, stamp(r * 0.8)], [2, stamp(r)]] : [[0, stamp(r)], [1, stamp(r)]];
    for (const [which, { reach, cells }] of layers) for (let k = 0; k < n; k++) {
      const i = order[k];
      if (layer[i] !== which) continue;
      const px = Math.round(ox + scale * x[i]), py = Math.round(oy - scale * y[i]);
      if (px < -reach || py < -reach || px >= width + reach || py >= height + reach) continue;
      const c = color[i], red = c & 255, green = (c >> 8) & 255, blue = (c >> 16) & 255;
      for (const [dx, dy, a] of cells) {
        const qx = px + dx, qy = py + dy;
        if (qx < 0 || qy < 0 || qx >= width || qy >= height) continue;
        const o = 4 * (qy * width + qx);
        data[o] += ((red - data[o]) * a) >> 8; data[o + 1] += ((green - data[o + 1]) * a) >> 8; data[o + 2] += ((blue - data[o + 2]) * a) >> 8;
      }
    }
    context.putImageData(pixels, 0, 0);
    labels?.(context);
  }
  let labels = null;
  return { canvas, camera, n, x, y, low, high, draw, recolor, resize, whole, ratio, layer: () => layer, means: () => means, size: () => [width, height], radius, label: (f) => { labels = f; } };
})();
