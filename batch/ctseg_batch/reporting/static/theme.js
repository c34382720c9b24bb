"use strict";

// Light or dark, as the reader's system has it until told otherwise; and the classes over the slices, on or off.
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const layers = document.getElementById("layers");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const kept = () => {
    try { return localStorage.getItem("ctseg-theme"); } catch { return null; }
  };
  const keep = (name) => {
    try { localStorage.setItem("ctseg-theme", name); } catch { /* a file: page may have no storage */ }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };

  if (["light", "dark"].includes(kept())) root.dataset.theme = kept();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep(root.dataset.theme);
    name();
  });
  dark.addEventListener("change", name);
  name();
  theme.hidden = false;

  layers.addEventListener("click", () => {
    const shown = layers.getAttribute("aria-pressed") !== "true";
    layers.setAttribute("aria-pressed", String(shown));
    root.dataset.layers = shown ? "on" : "off";
  });
  layers.hidden = !document.querySelector(".layer");
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
})();
