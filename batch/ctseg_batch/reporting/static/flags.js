// A flag of the overview narrows the table down to the scans that carry it.
(() => {
  for (const flag of document.querySelectorAll(".flag[data-flag]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "flag";
    button.textContent = flag.textContent;
    button.setAttribute("aria-label", `Show the scans flagged: ${flag.textContent}`);
    button.addEventListener("click", () => scanTable.narrowToFlag(flag.dataset.flag));
    flag.replaceWith(button);
  }
})();
