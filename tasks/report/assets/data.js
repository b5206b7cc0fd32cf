// The facts, and the arrays: base64 of deflated bytes, the lowest bytes of all values first.
const facts = JSON.parse(byId("facts")?.textContent || "null");
const readArrays = async () => {
  const raw = Uint8Array.from(atob(byId("arrays").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const found = {};
  for (const [name, [offset, size, width]] of Object.entries(facts.arrays)) {
    const values = new { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[width](size);
    for (let plane = 0; plane < width; plane++)
      for (let i = 0; i < size; i++) values[i] |= bytes[offset + plane * size + i] << (8 * plane);
    found[name] = values;
  }
  byId("arrays").remove();
  return found;
};
const arrays = facts ? await readArrays() : {};
const summed = (steps) => {
  let last = 0;
  return steps.map((step) => (last = (last + step) & 0xffff));
};
const trees = facts.trees;
for (const [t, tree] of trees.entries()) {
  tree.below = tree.label.map(() => []);
  tree.last = tree.label.map((_, i) => i); // the last cluster below each: they stand depth first
  tree.parent.forEach((parent, i) => { if (parent >= 0) tree.below[parent].push(i); });
  for (let i = tree.label.length - 1; i >= 0; i--) if (tree.parent[i] >= 0) tree.last[tree.parent[i]] = Math.max(tree.last[tree.parent[i]], tree.last[i]);
  tree.tops = tree.label.map((_, i) => i).filter((i) => tree.parent[i] < 0);
  tree.at = tree.columns.map((_, level) => tree.label.map((_, i) => i).filter((i) => tree.level[i] === level));
  tree.upTo = tree.columns.map((_, level) => {
    const above = new Int32Array(tree.label.length).fill(-1);
    for (let i = 0; i < above.length; i++) above[i] = tree.level[i] === level ? i : tree.parent[i] >= 0 ? above[tree.parent[i]] : -1;
    return above;
  });
  tree.total = tree.tops.reduce((sum, i) => sum + tree.cells[i], 0);
  tree.number = t;
}
const pathOf = (tree, i) => { const path = []; for (; i >= 0; i = tree.parent[i]) path.unshift(i); return path; };
const isText = (covariate) => covariate.labels !== undefined;
const valuesOf = (covariate) => (isText(covariate) ? covariate.labels.length : covariate.bins);
// Cells by value of the clusters from first to last, and the sum of their numbers.
const composition = (() => {
  const cumulated = new Map();
  return (tree, v, first, last) => {
    const number = tree.number * facts.covariates.length + v, values = valuesOf(facts.covariates[v]);
    if (!cumulated.has(number)) {
      const rows = tree.label.map(() => null);
      const [clusters, of, cells] = ["clusters", "values", "cells"].map((part) => arrays[`counts/${number}/${part}`]);
      for (let e = 0, i = 0; e < clusters.length; e++) { i += clusters[e]; (rows[i] ||= []).push(of[e], cells[e]); }
      cumulated.set(number, rows);
    }
    const counts = new Float64Array(values), rows = cumulated.get(number), sums = facts.sums[number];
    let sum = 0;
    for (let i = first; i <= last; i++) {
      if (rows[i]) for (let e = 0; e < rows[i].length; e += 2) counts[rows[i][e]] += rows[i][e + 1];
      if (sums) sum += sums[i];
    }
    return { counts, sum, n: counts.reduce((a, b) => a + b, 0) };
  };
})();
