// A histogram's bars narrow the table down to their scans; a dot leads to its scan.
(() => {
  // Tab reaches the first of them, arrows the others from there.
  const workable = (items, role, choose) => {
    items[0]?.closest("svg").setAttribute("role", "group");
    items.forEach((item, at) => {
      item.setAttribute("role", role);
      item.setAttribute("tabindex", at ? -1 : 0);
      item.setAttribute("aria-label", item.querySelector("title").textContent);
      item.addEventListener("click", () => choose(item));
      item.addEventListener("keydown", (event) => {
        const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[event.key];
        if (event.key === "Enter" || event.key === " ") choose(item);
        else if (next === undefined || !items[next]) return;
        else {
          item.setAttribute("tabindex", -1);
          items[next].setAttribute("tabindex", 0);
          items[next].focus();
        }
        event.preventDefault();
      });
    });
  };

  for (const figure of document.querySelectorAll(".distribution")) {
    const bars = [...figure.querySelectorAll("[data-from]")];
    workable(bars, "button", (bar) => {
      const isOn = bar.getAttribute("aria-pressed") === "true";
      const { from, to, label } = bar.dataset;
      const narrowed = { column: figure.dataset.column, from: Number(from), to: Number(to), label, isLast: bar === bars.at(-1) };
      scanTable.narrow(isOn ? null : narrowed);
      if (!isOn) document.getElementById("scans").scrollIntoView();
    });
    for (const bar of bars) bar.setAttribute("aria-pressed", "false");
    document.addEventListener("narrowed", ({ detail }) => {
      for (const bar of bars) {
        const isOn = detail && detail.column === figure.dataset.column && detail.label === bar.dataset.label;
        bar.setAttribute("aria-pressed", String(Boolean(isOn)));
      }
    });
    workable([...figure.querySelectorAll("[data-scan]")], "link", (dot) => scanTable.open(Number(dot.dataset.scan)));
  }
})();
