(() => {
  const wrong = [];
  const all = selector => [...document.querySelectorAll(selector)];
  const check = (good, what) => good || wrong.push(what);
  check(document.documentElement.lang, "no language");
  check(document.title.trim(), "no title");
  check(all("h1").length === 1, `${all("h1").length} main headings`);
  check(all("main").length === 1, `${all("main").length} main landmarks`);
  for (const field of all("input:not([type=hidden]), select, textarea")) {
    check(field.labels.length || field.ariaLabel, `no label: ${field.outerHTML}`);
  }
  for (const control of all("a[href], button")) check(control.innerText.trim() || control.className === "skip", `no words: ${control.outerHTML}`);
  const ids = all("[id]").map(it => it.id);
  check(new Set(ids).size === ids.length, `ids are not unique: ${ids}`);
  const depth = all("h1, h2, h3").map(it => Number(it.tagName[1]));
  check(depth.every((level, at) => level <= (depth[at - 1] ?? 0) + 1), `headings skip a level: ${depth}`);
  const wide = document.documentElement.scrollWidth;
  check(wide <= innerWidth, `${wide} wide on ${innerWidth}`);
  const parts = colour => (colour.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = it => {
    for (; it; it = it.parentElement) {
      const colour = parts(getComputedStyle(it).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  for (const it of all("body *")) {
    if (![...it.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || !it.offsetParent) continue;
    const [a, b] = [light(parts(getComputedStyle(it).color)), light(behind(it))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    check(ratio >= 4.5, `contrast ${ratio.toFixed(2)}: ${it.outerHTML.slice(0, 120)}`);
  }
  return wrong;
})()
