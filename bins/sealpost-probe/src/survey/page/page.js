"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const [search, filter, table, count, none] = ["search", "filter", "table", "count", "none"].map(byId);
  const details = JSON.parse(byId("details").textContent);
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({
    row,
    standing: row.dataset.s,
    // What is searched is what is shown, the details included.
    text: (row.textContent + " " + JSON.stringify(details[row.dataset.n])).toLowerCase(),
  }));

  const add = (parent, name, text) => {
    const child = document.createElement(name);
    if (text !== undefined) child.textContent = text;
    return parent.appendChild(child);
  };

  const detail = (data, columns) => {
    const row = document.createElement("tr");
    row.className = "detail";
    const cell = add(row, "td");
    cell.colSpan = columns;
    const levels = add(cell, "ul");
    for (const [level, result, words] of data.levels) {
      const line = add(levels, "li");
      add(line, "i").className = result;
      line.append(" " + level + ": " + words);
    }
    const hosts = add(cell, "ul");
    for (const [host, address, result, lines] of data.hosts) {
      const line = add(hosts, "li");
      add(line, "i").className = result;
      line.append(" " + host + " " + address);
      const more = add(line, "ul");
      for (const text of lines) add(more, "li", text);
    }
    for (const note of data.notes) add(cell, "p", note);
    return row;
  };

  const close = (row) => {
    const next = row.nextElementSibling;
    if (next && next.className === "detail") next.remove();
    row.querySelector("button").setAttribute("aria-expanded", "false");
  };

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, standing, text } of rows) {
      const matches = (!filter.value || standing === filter.value) && words.every((word) => text.includes(word));
      if (!matches) close(row);
      row.hidden = !matches;
      shown += matches;
    }
    count.textContent = shown === rows.length ? rows.length.toLocaleString("en") + (rows.length === 1 ? " domain" : " domains") : shown + " of " + rows.length;
    none.hidden = shown > 0;
    for (const button of document.querySelectorAll("[data-filter]")) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === filter.value));
    }
  };

  const sort = (column, heading) => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = ({ row }) => row.cells[column].dataset.k ?? row.cells[column].textContent;
    rows.forEach(({ row }) => close(row));
    const numbers = rows.length > 0 && rows[0].row.cells[column].dataset.k !== undefined;
    rows.sort((a, b) => (numbers ? key(a) - key(b) : key(a).localeCompare(key(b))) * (descending ? -1 : 1));
    body.append(...rows.map(({ row }) => row));
  };

  search.addEventListener("input", show);
  filter.addEventListener("change", show);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.filter !== undefined) {
      filter.value = filter.value === button.dataset.filter ? "" : button.dataset.filter;
      show();
      byId("domains").scrollIntoView({ behavior: "smooth" });
    } else if (button.dataset.column !== undefined) {
      sort(Number(button.dataset.column), button.closest("th"));
    } else {
      const row = button.closest("tr");
      if (button.getAttribute("aria-expanded") === "true") return close(row);
      button.setAttribute("aria-expanded", "true");
      row.after(detail(details[row.dataset.n], row.cells.length));
    }
  });
  show();
})();
