// Elements are made here, their texts always as text: nothing from the data is ever read as HTML.
const byId = (id) => document.getElementById(id);
function el(tag, attributes, ...children) {
  const svg = ["svg", "g", "circle", "path", "text", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const count = (n) => Math.round(n).toLocaleString("en");
const percent = (part) => (part > 0 && part < 0.001 ? "<0.1 %" : `${(100 * part).toFixed(part < 0.1 && part > 0 ? 1 : part < 1 && part > 0.995 ? 1 : 0)} %`);
const brief = (x) => (x === null ? "" : Math.abs(x) >= 1e5 || (x && Math.abs(x) < 1e-3) ? x.toExponential(2) : String(+x.toPrecision(4)));
const swatch = (color) => el("span", { class: "swatch", style: `background:${color}`, "aria-hidden": "true" });
function sortable(table) {
  table.querySelectorAll("thead th").forEach((head, at) => {
    const button = el("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const body = table.tBodies[0];
      const rows = [...body.rows];
      const order = (row) => row.cells[at].dataset.order ?? row.cells[at].textContent;
      const numeric = rows.every((row) => order(row) === "" || !Number.isNaN(Number(order(row))));
      const up = head.getAttribute("aria-sort") === (numeric ? "descending" : "none") || head.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("thead th").forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const compare = numeric
        ? (a, b) => Number(order(a) || -Infinity) - Number(order(b) || -Infinity)
        : (a, b) => order(a).localeCompare(order(b), "en", { numeric: true });
      rows.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
      body.append(...rows);
    });
  });
}
