(() => {
  const problems = [];
  const text = (node) => node.textContent.trim();
  if (document.documentElement.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll("main *")].filter((it) =>
      !it.closest(".scroll") && it.getBoundingClientRect().right > innerWidth + 1);
    problems.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}: ${wide.slice(0, 3).map((it) => it.outerHTML.slice(0, 200))}`);
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption || !text(table.caption)) problems.push("a table without a caption");
    if ([...table.querySelectorAll("th")].some((head) => !head.scope)) problems.push("a head without scope");
    const region = table.closest(".scroll");
    if (!region || !region.getAttribute("aria-label")) problems.push("a table in no region");
    if (table.querySelector("th[scope=colgroup]") && !table.querySelector("colgroup")) problems.push("a head of a group of columns that is none");
  }
  const regions = [...document.querySelectorAll("[role=region]")];
  for (const region of regions) {
    const stops = region.tabIndex === 0;
    if (stops !== region.scrollWidth > region.clientWidth) problems.push(`a region that ${stops ? "fits is a stop" : "scrolls is none"}: ${region.getAttribute("aria-label")}`);
  }
  const names = regions.map((it) => it.getAttribute("aria-label"));
  const alike = names.filter((name, at) => names.indexOf(name, at + 1) >= 0);
  if (alike.length) problems.push(`regions with one name: ${alike.slice(0, 3)}`);
  for (const chart of document.querySelectorAll("svg")) {
    const names = (chart.getAttribute("aria-labelledby") || "").split(" ");
    const named = names.length === 2 && names.every((id) => document.getElementById(id) && text(document.getElementById(id)));
    if (chart.getAttribute("role") !== "img" || !named) problems.push("a chart without a name");
    const figures = chart.closest("figure")?.querySelector("details table");
    if (!figures || !figures.tBodies[0].rows.length) problems.push("a chart without its figures");
  }
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  const twice = ids.filter((id, at) => ids.indexOf(id, at + 1) >= 0 && ids.length < 3000);
  if (twice.length) problems.push(`ids that are there twice: ${twice.slice(0, 3)}`);
  if (document.querySelectorAll("h1").length !== 1 || !document.querySelector("main") || !document.querySelector("nav[aria-label]"))
    problems.push("no landmarks, or not one h1");
  const colour = (value) => {
    const parts = value.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => { const c = part / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (node) => {
    for (let it = node; it; it = it.parentElement) {
      const back = colour(getComputedStyle(it).backgroundColor);
      if (back.alpha === 1) return back.rgb;
      if (back.alpha > 0) throw new Error(`half transparent: ${it.outerHTML.slice(0, 99)}`);
    }
    return [255, 255, 255];
  };
  const seen = new Set();
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || ["SCRIPT", "STYLE", "title", "desc"].includes(node.nodeName)) continue;
    const style = getComputedStyle(node);
    const ink = node.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const back = paper(node);
    const pair = `${ink} on rgb(${back})`;
    if (seen.has(pair)) continue;
    seen.add(pair);
    const [one, other] = [light(colour(ink).rgb), light(back)].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) problems.push(`contrast ${contrast.toFixed(2)}: ${pair}: ${node.outerHTML.slice(0, 120)}`);
  }
  const links = [...document.querySelectorAll("a")].map((it) => it.getAttribute("href"));
  return { problems, links, ids, pairs: seen.size, scripts: document.scripts.length, hacked: window.hacked ?? null,
    dark: light(colour(getComputedStyle(document.body).backgroundColor).rgb) < 0.2, rows: document.querySelectorAll("tbody tr").length };
})()
