// Light or dark: as the system says, until the button is pressed.
{
  const root = document.documentElement, button = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("cellstrata-theme"); } catch { return null; } };
  const current = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const say = () => { button.textContent = current() === "dark" ? "Light" : "Dark"; button.setAttribute("aria-label", `Use ${current() === "dark" ? "light" : "dark"} colours`); dispatchEvent(new Event("theme")); };
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  button.onclick = () => { root.dataset.theme = current() === "dark" ? "light" : "dark"; try { localStorage.setItem("cellstrata-theme", root.dataset.theme); } catch { /* it holds for this page */ } say(); };
  system.addEventListener("change", say);
  addEventListener("beforeprint", () => { root.dataset.before = root.dataset.theme || ""; root.dataset.theme = "light"; dispatchEvent(new Event("theme")); });
  addEventListener("afterprint", () => { if (root.dataset.before) root.dataset.theme = root.dataset.before; else delete root.dataset.theme; say(); });
  say();
}
