// The table of scans. Only the rows in view are in the page, so that ten thousand scroll, sort and search at once.
const scanTable = (() => {
  const data = JSON.parse(document.getElementById("table-data").textContent);
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const viewport = document.getElementById("viewport");
  const search = document.getElementById("search");
  const status = document.getElementById("status");
  const range = document.getElementById("range");
  const matches = document.getElementById("matches");
  const printed = document.getElementById("printed");
  const formats = data.columns.map(({ digits }) =>
    new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const aside = 12; // rows kept ready above and below those in view
  const printLimit = 500;

  const collator = new Intl.Collator("en", { numeric: true });
  const texts = data.rows.map((row) =>
    [row.name, row.status, ...row.flags.map((flag) => data.flags[flag][0]), ...row.errors.flat()].join("\n").toLowerCase());
  const state = { order: data.rows.map((_, index) => index), sort: null, up: false, narrowed: null, active: 0 };
  const shown = new Map(); // position in the order -> its <tr>
  let rowHeight = 36;

  const cell = (kind, className, content) => {
    const made = document.createElement(kind);
    made.className = className;
    made.append(content);
    return made;
  };

  const heads = [...table.tHead.rows[0].cells];
  const has = (column) => heads.some((head) => head.classList.contains(column));

  const stateOf = (row) => (row.told === row.status ? row.status : "doubtful");

  const nameOf = (index) => {
    const row = data.rows[index];
    const link = document.createElement(row.part ? "a" : "button");
    if (row.part) link.href = `#scan-${index}`;
    else {
      link.type = "button";
      link.setAttribute("aria-haspopup", "dialog");
      link.addEventListener("click", () => scanDetail.open(index));
    }
    link.append(...namePieces(row.name));
    link.tabIndex = -1;
    const made = cell("th", "name", link);
    made.scope = "row";
    made.title = row.name;
    return made;
  };

  const makeRow = (position) => {
    const index = state.order[position];
    const row = data.rows[index];
    const made = document.createElement("tr");
    made.tabIndex = position === state.active ? 0 : -1;
    made.dataset.position = position;
    made.setAttribute("aria-rowindex", position + 2);
    const badge = document.createElement("span");
    badge.className = `badge ${stateOf(row)}`;
    badge.textContent = row.told;
    const flags = row.flags.map((flag) => data.flags[flag][0]).join("; ");
    made.append(nameOf(index), cell("td", "status", badge));
    if (has("flags")) made.appendChild(cell("td", "flags", flags)).title = flags;
    row.values.forEach((value, at) => made.append(cell("td", "number", format(value, at))));
    if (has("errors")) made.append(cell("td", "number errors", row.failures || ""));
    return made;
  };

  const format = (value, at) => {
    if (value === null) return "\u2013";
    const least = 10 ** -data.columns[at].digits; // what is below it, but not nothing, is not shown as 0
    return value > 0 && value < least ? `<${formats[at].format(least)}` : formats[at].format(value);
  };

  const spacer = (rows) => {
    const made = document.createElement("tr");
    made.className = "space";
    made.setAttribute("aria-hidden", "true");
    const empty = made.insertCell();
    empty.colSpan = heads.length;
    empty.style.height = `${rows * rowHeight}px`;
    return made;
  };

  // Puts the rows from `first` up to `last` into the page; rows that are there already stay, and so does the focus.
  const fill = (first, last) => {
    const focused = document.activeElement?.closest?.("#table tbody tr");
    for (const [position, row] of shown) {
      if (position < first || position >= last) {
        if (row === focused) viewport.focus({ preventScroll: true });
        shown.delete(position);
      }
    }
    for (let position = first; position < last; position++) {
      if (!shown.has(position)) shown.set(position, makeRow(position));
    }
    const wanted = [];
    for (let position = first; position < last; position++) wanted.push(shown.get(position));
    for (const row of [...body.children]) if (!wanted.includes(row)) row.remove();
    wanted.forEach((row, at) => {
      if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
    });
    if (first) body.prepend(spacer(first));
    if (last < state.order.length) body.append(spacer(state.order.length - last));
  };

  const fillView = () => {
    const top = Math.floor(viewport.scrollTop / rowHeight);
    const rows = Math.ceil(innerHeight / rowHeight); // the viewport is lower, but empty it has no height to go by
    const first = Math.max(0, Math.min(top, state.order.length - rows) - aside);
    fill(first, Math.min(state.order.length, top + rows + aside));
  };

  const compare = (a, b) => {
    const order = (left, right) => (left < right ? -1 : left > right ? 1 : 0);
    const turn = state.up ? 1 : -1;
    const keys = [a, b].map((index) => {
      const row = data.rows[index];
      if (state.sort === "name") return row.name.toLowerCase();
      if (state.sort === "status") return ["failed", "partial", "doubtful", "ok"].indexOf(stateOf(row));
      if (state.sort === "flags") return row.flags.length;
      if (state.sort === "errors") return row.failures;
      return row.values[state.sort];
    });
    if (keys[0] === null || keys[1] === null) return (keys[0] === null) - (keys[1] === null) || a - b;
    const found = state.sort === "name" ? collator.compare(...keys) : order(...keys);
    return turn * found || a - b;
  };

  const isWithin = (row, { flag, at, from, to, isLast }) => {
    if (flag) return row.flags.some((one) => data.flags[one][2] === flag);
    const value = row.values[at];
    return value !== null && value >= from && (isLast ? value <= to : value < to);
  };

  const passes = (index) => {
    const row = data.rows[index];
    const wanted = status.value;
    if (wanted === "flagged" ? !row.flags.length : wanted === "pictured" ? !row.part : wanted && row.status !== wanted) return false;
    if (state.narrowed && !isWithin(row, state.narrowed)) return false;
    return search.value.trim().toLowerCase().split(/\s+/).every((word) => texts[index].includes(word));
  };

  const update = () => {
    state.order = data.rows.map((_, index) => index).filter(passes);
    if (state.sort !== null) state.order.sort(compare);
    state.active = 0;
    shown.clear();
    body.replaceChildren();
    table.setAttribute("aria-rowcount", state.order.length + 1);
    viewport.scrollTop = 0;
    fillView();
    const all = `${data.rows.length.toLocaleString("en-GB")} ${data.rows.length === 1 ? "scan" : "scans"}`;
    matches.textContent = state.order.length === data.rows.length ? all : `${state.order.length.toLocaleString("en-GB")} of ${all}`;
  };

  const activate = (position) => {
    if (!state.order.length) return;
    const before = shown.get(state.active);
    if (before) before.tabIndex = -1;
    state.active = Math.max(0, Math.min(state.order.length - 1, position));
    const head = table.tHead.offsetHeight;
    const top = state.active * rowHeight;
    const room = viewport.clientHeight - head;
    if (top < viewport.scrollTop) viewport.scrollTop = top;
    else if (top + rowHeight > viewport.scrollTop + room) viewport.scrollTop = top + rowHeight - room;
    fillView();
    const row = shown.get(state.active);
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" }); // of the window: within the viewport it is in view
  };

  const moves = () => {
    const page = Math.max(1, Math.floor((viewport.clientHeight - table.tHead.offsetHeight) / rowHeight) - 1);
    return { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  };

  viewport.addEventListener("keydown", (event) => {
    const row = event.target.closest("tbody tr");
    if (event.ctrlKey || event.altKey || event.metaKey || !(row || event.target === viewport)) return;
    if (event.key in moves()) {
      event.preventDefault();
      activate(row ? state.active + moves()[event.key] : event.key === "End" ? Infinity : Math.ceil(viewport.scrollTop / rowHeight));
    } else if (event.key === "Enter" && event.target === row) {
      event.preventDefault(); // or the same key would go on to close what it opens
      row.querySelector("a, button").click();
    }
  });
  viewport.addEventListener("scroll", () => requestAnimationFrame(fillView), { passive: true });
  body.addEventListener("focusin", (event) => {
    const row = event.target.closest("tr");
    if (row && Number(row.dataset.position) !== state.active) {
      const before = shown.get(state.active);
      if (before) before.tabIndex = -1;
      state.active = Number(row.dataset.position);
      row.tabIndex = 0;
    }
  });
  addEventListener("resize", fillView);

  for (const head of table.querySelectorAll("[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    const key = Number.isNaN(Number(head.dataset.sort)) ? head.dataset.sort : Number(head.dataset.sort);
    const upFirst = key === "name" || key === "status";
    button.addEventListener("click", () => {
      const again = state.sort === key;
      if (again && state.up !== upFirst) state.sort = null; // the third time: the order of the run
      else {
        state.up = again ? !state.up : upFirst;
        state.sort = key;
      }
      for (const other of table.querySelectorAll("[data-sort]")) other.setAttribute("aria-sort", "none");
      if (state.sort !== null) head.setAttribute("aria-sort", state.up ? "ascending" : "descending");
      update();
    });
  }

  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, 120);
  });
  status.addEventListener("change", update);

  const narrow = (narrowed) => {
    state.narrowed = narrowed && { ...narrowed, at: data.columns.findIndex(({ key }) => key === narrowed.column) };
    range.hidden = !narrowed;
    if (narrowed) range.textContent = `${narrowed.label} \u00d7`;
    range.setAttribute("aria-label", narrowed ? `Remove: ${narrowed.label}` : "");
    document.dispatchEvent(new CustomEvent("narrowed", { detail: narrowed }));
    update();
  };
  range.addEventListener("click", () => {
    narrow(null);
    search.focus();
  });

  const narrowToFlag = (flag) => {
    search.value = "";
    narrow({ flag, label: flag });
    document.getElementById("scans").scrollIntoView();
    search.focus({ preventScroll: true });
  };

  addEventListener("beforeprint", () => {
    fill(0, Math.min(printLimit, state.order.length));
    for (const space of body.querySelectorAll(".space")) space.remove();
    printed.textContent = `The first ${printLimit} of ${state.order.length.toLocaleString("en-GB")} rows; summary.csv holds them all.`;
    printed.hidden = state.order.length <= printLimit;
  });
  addEventListener("afterprint", () => {
    printed.hidden = true;
    update();
  });

  table.setAttribute("role", "grid");
  printed.hidden = true;
  update();
  rowHeight = shown.get(0)?.getBoundingClientRect().height || rowHeight;
  update();
  const open = (index) => {
    if (data.rows[index].part) location.hash = `scan-${index}`;
    else scanDetail.open(index);
  };
  return { data, format, narrow, narrowToFlag, open };
})();
