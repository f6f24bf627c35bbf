"use strict";
// For readers with scripts. Nothing else depends on it.
// Tables are sorted and filtered.
for (const table of document.querySelectorAll("table[data-tool]")) {
  const body = table.tBodies[0];
  if (body.rows.length < 3) continue;
  const collator = new Intl.Collator("en", { numeric: true });
  const key = (row, at) => {
    const cell = row.cells[at];
    return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent.trim();
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b
      : typeof a === "number" ? -1 : typeof b === "number" ? 1 : collator.compare(a, b);
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => way * compare(key(a, at), key(b, at)));
      body.append(...rows);
    });
  });
  if (body.rows.length < 25) continue;
  const label = document.createElement("label");
  label.className = "tools";
  const input = document.createElement("input");
  input.type = "search";
  const told = document.createElement("span");
  told.setAttribute("role", "status");
  label.append("Filter", input, told);
  table.parentElement.before(label);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    told.textContent = words.length ? `${shown} of ${body.rows.length}` : "";
  });
}
// What a link leads to is opened before it is shown.
const open = () => {
  const id = decodeURIComponent(location.hash.slice(1));
  for (let it = id && document.getElementById(id); it; it = it.parentElement) {
    if (it.localName === "details") it.open = true;
  }
};
addEventListener("hashchange", open);
open();
// Only what does not fit is a stop of the keyboard, and says that it scrolls.
const fit = (areas) => {
  for (const [area, over] of areas.map((it) => [it, it.scrollWidth > it.clientWidth])) {
    area.classList.toggle("over", over);
    if (over) area.tabIndex = 0;
    else area.removeAttribute("tabindex");
  }
};
const areas = [...document.querySelectorAll(".scroll")];
fit(areas);
const sizes = new ResizeObserver((seen) => fit(seen.map((it) => it.target)));
for (const area of areas) sizes.observe(area);
