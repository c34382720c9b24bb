// A line across the profile and the views from the front shows where a slice lies, and what is in it.
(() => {
  const profiles = JSON.parse(document.getElementById("profile-data").textContent);
  const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });

  for (const body of document.querySelectorAll(".body")) {
    const profile = profiles[body.dataset.part];
    const figure = body.querySelector(".profile");
    if (!profile || !figure) continue;
    const plot = figure.querySelector(".plot");
    const caption = figure.querySelector("figcaption");
    const usual = caption.textContent;
    const height = Number(figure.dataset.height);
    const total = profile.names.length;
    const svg = plot.querySelector("svg");
    const drawn = svg.viewBox.baseVal.height;
    const lines = [...body.querySelectorAll(".plane .layered"), plot].map((holder) => {
      const line = document.createElement("span");
      line.className = "line";
      line.hidden = true;
      holder.append(line);
      return { line, share: holder === plot ? height / drawn : 1 };
    });
    let at = Math.floor(total / 2);

    const words = (index) => {
      const areas = profile.areas[index];
      const name = `Slice ${profile.names[index]}`;
      if (!areas) return `${name}: failed`;
      const [normal, glass, solid] = areas.map((area) => `${number.format(area)} ${profile.unit}`);
      return `${name}: ${normal} normal lung, ${glass} ground glass, ${solid} consolidation`;
    };
    const show = (index) => {
      at = Math.max(0, Math.min(total - 1, index));
      for (const { line, share } of lines) {
        line.hidden = false;
        line.style.top = `${100 * share * (1 - (at + 0.5) / total)}%`;
      }
      caption.textContent = words(at);
      plot.setAttribute("aria-valuenow", at);
      plot.setAttribute("aria-valuetext", words(at));
    };
    const hide = () => {
      if (document.activeElement === plot) return;
      for (const { line } of lines) line.hidden = true;
      caption.textContent = usual;
    };
    const follow = (event, holder, share) => {
      const box = holder.getBoundingClientRect();
      const down = (event.clientY - box.top) / (box.height * share);
      if (down <= 1) show(Math.floor((1 - down) * total));
    };

    plot.tabIndex = 0;
    plot.setAttribute("role", "slider");
    plot.setAttribute("aria-orientation", "vertical");
    plot.setAttribute("aria-label", svg.getAttribute("aria-label"));
    plot.setAttribute("aria-valuemin", 0);
    plot.setAttribute("aria-valuemax", total - 1);
    plot.setAttribute("aria-valuenow", at);
    plot.setAttribute("aria-valuetext", words(at));
    svg.setAttribute("aria-hidden", "true");
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(at + step);
    });
    plot.addEventListener("focus", () => show(at));
    plot.addEventListener("blur", hide);
    for (const holder of body.querySelectorAll(".plane .layered, .plot")) {
      holder.addEventListener("pointermove", (event) => follow(event, holder, holder === plot ? height / drawn : 1));
      holder.addEventListener("pointerleave", hide);
    }
    for (const tile of body.parentElement.querySelectorAll(".montage [data-index]")) {
      tile.addEventListener("pointerenter", () => show(Number(tile.dataset.index)));
      tile.addEventListener("pointerleave", hide);
    }
  }
})();
