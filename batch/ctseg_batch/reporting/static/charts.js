// A histogram's bars narrow the table down to their scans; a dot leads to its scan.
(() => {
  for (const figure of document.querySelectorAll(".distribution[data-column]")) {
    const svg = figure.querySelector("svg");
    const bars = [...figure.querySelectorAll("[data-from]")];
    if (!bars.length) continue;
    svg.setAttribute("role", "group");
    const choose = (bar) => {
      const isOn = bar.getAttribute("aria-pressed") === "true";
      const { from, to, label } = bar.dataset;
      const narrowed = { column: figure.dataset.column, from: Number(from), to: Number(to), label, isLast: bar === bars.at(-1) };
      scanTable.narrow(isOn ? null : narrowed);
      if (!isOn) document.getElementById("scans").scrollIntoView();
    };
    bars.forEach((bar, at) => {
      bar.setAttribute("role", "button");
      bar.setAttribute("tabindex", at ? -1 : 0);
      bar.setAttribute("aria-pressed", "false");
      bar.setAttribute("aria-label", bar.querySelector("title").textContent);
      bar.addEventListener("click", () => choose(bar));
      bar.addEventListener("keydown", (event) => {
        const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: bars.length - 1 }[event.key];
        if (event.key === "Enter" || event.key === " ") choose(bar);
        else if (next === undefined || !bars[next]) return;
        else {
          bar.setAttribute("tabindex", -1);
          bars[next].setAttribute("tabindex", 0);
          bars[next].focus();
        }
        event.preventDefault();
      });
    });
    document.addEventListener("narrowed", ({ detail }) => {
      for (const bar of bars) {
        const isOn = detail && detail.column === figure.dataset.column && detail.label === bar.dataset.label;
        bar.setAttribute("aria-pressed", String(Boolean(isOn)));
      }
    });
  }
  for (const dot of document.querySelectorAll(".chart [data-scan]")) {
    dot.addEventListener("click", () => scanTable.open(Number(dot.dataset.scan)));
    dot.classList.add("leads");
  }
})();
