// A flag of the overview searches the table for the scans that carry it.
(() => {
  for (const flag of document.querySelectorAll(".flag[data-search]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "flag";
    button.textContent = flag.textContent;
    button.setAttribute("aria-label", `Show the scans flagged: ${flag.textContent}`);
    button.addEventListener("click", () => scanTable.find(flag.dataset.search));
    flag.replaceWith(button);
  }
})();
