// What is known of a scan that has no part of its own in the page.
const scanDetail = (() => {
  const dialog = document.getElementById("detail");
  const title = document.getElementById("detail-title");
  const body = document.getElementById("detail-body");

  const element = (kind, className, ...content) => {
    const made = document.createElement(kind);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };

  const open = (index) => {
    const { data, format } = scanTable;
    const row = data.rows[index];
    title.textContent = row.name;
    const facts = element("dl", "facts", element("div", "", element("dt", "", "Status"), element("dd", "", row.told)));
    data.columns.forEach(({ title: name, unit }, at) => {
      const value = format(row.values[at], at);
      facts.append(element("div", "", element("dt", "", name), element("dd", "", unit && row.values[at] !== null ? `${value} ${unit}` : value)));
    });
    body.replaceChildren(facts);
    if (row.flags.length) {
      const flags = row.flags.map((flag) => {
        const [name, words] = data.flags[flag];
        return element("li", "", element("span", "flag", name), " ", element("span", "words", words));
      });
      body.append(element("h3", "", "What makes its figures doubtful"), element("ul", "doubts", ...flags));
    }
    if (row.failures) {
      const errors = row.errors.map(([file, reason]) => element("li", "", element("code", "", file), " ", reason));
      if (row.failures > errors.length) errors.push(element("li", "small", `${row.failures - errors.length} more in summary.json`));
      body.append(element("h3", "", "What failed"), element("ul", "doubts", ...errors));
    }
    body.append(element("p", "note", "This report holds no pictures of it."));
    dialog.showModal();
  };

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return { open };
})();
