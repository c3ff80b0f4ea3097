// What holds of every page for people who do not see, do not use a pointer, or hold a phone. Gives back what does not hold.
(({ tongue, narrow }) => {
  const complaints = [];
  const name = (it) => {
    const id = it.id ? "#" + it.id : "";
    const classes = typeof it.className === "string" && it.className ? "." + it.className.trim().split(/\s+/).join(".") : "";
    const text = (it.innerText || it.value || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `<${it.tagName.toLowerCase()}${id}${classes}> ${text}`;
  };
  const complain = (what, it) => complaints.push(it ? `${what}: ${name(it)}` : what);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shows = (it) => it.checkVisibility({ checkVisibilityCSS: true, contentVisibilityAuto: true }) && it.getClientRects().length > 0;
  const seen = all("*").filter(shows);
  const is_unseen = (it) => !!it.closest(".unseen, .skip");

  // Names of things.
  const labels = (it) => [...(it.labels || [])].map((label) => label.innerText).join(" ");
  const referred = (it, attribute) => (it.getAttribute(attribute) || "").split(/\s+/).filter(Boolean);
  const called = (it) =>
    [labels(it), it.getAttribute("aria-label"), it.innerText, it.getAttribute("title"),
      ...referred(it, "aria-labelledby").map((id) => document.getElementById(id)?.innerText),
      ...[...it.querySelectorAll("img")].map((image) => image.alt)].some((text) => text && text.trim());
  for (const it of all("input:not([type=hidden]), select, textarea").filter(shows)) {
    if (!called(it)) complain("a control without a label", it);
  }
  for (const it of all("button, a[href], summary").filter(shows)) if (!called(it)) complain("nothing says what this does", it);
  for (const it of all("img")) if (!it.hasAttribute("alt")) complain("an image without alt", it);
  for (const it of all("svg")) {
    if (it.getAttribute("aria-hidden") !== "true" && !(it.getAttribute("role") === "img" && it.getAttribute("aria-label"))) {
      complain("a drawing that is neither hidden nor called anything", it.parentElement);
    }
  }
  for (const attribute of ["for", "aria-describedby", "aria-labelledby", "aria-controls"]) {
    for (const it of all(`[${attribute}]`)) {
      for (const id of referred(it, attribute)) if (!document.getElementById(id)) complain(`${attribute} leads to no #${id}`, it);
    }
  }
  const ids = all("[id]").map((it) => it.id);
  for (const id of new Set(ids.filter((id, place) => ids.indexOf(id) !== place))) complain(`several elements are #${id}`);

  // How the page is built.
  if (document.documentElement.lang !== tongue) complain(`the page says it is in ${document.documentElement.lang}`);
  if (!document.title.trim()) complain("no title");
  const heads = all("h1, h2, h3, h4, h5, h6").filter(shows);
  if (heads.filter((it) => it.tagName === "H1").length !== 1) complain("not one h1");
  let above = 0;
  for (const it of heads) {
    const here = Number(it.tagName[1]);
    if (here > above + 1) complain(`h${here} below h${above}`, it);
    above = here;
  }
  if (all("main").length !== 1) complain("not one main");
  for (const it of all("nav")) if (!it.getAttribute("aria-label")) complain("a nav without a name", it);
  for (const it of all("table").filter((it) => it.getAttribute("role") !== "presentation")) {
    if (!it.querySelector("th[scope]")) complain("a table without heads", it);
  }
  for (const it of all("[style], [onclick], [onload], [onerror]")) complain("style or script in an attribute", it);
  for (const it of all("[tabindex]")) if (it.tabIndex > 0) complain("tabindex above 0", it);
  for (const it of all("a a, a button, button a, button button, label label")) complain("one control inside another", it);
  for (const it of all("[aria-hidden=true] a, [aria-hidden=true] button, [aria-hidden=true] input")) complain("hidden, but takes the focus", it);
  for (const it of all("form[method=post]")) {
    const action = new URL(it.action, location.href);
    if (action.origin !== location.origin) complain("a form that sends elsewhere", it);
  }

  // Contrast.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parsed = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000";
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const ground = (it) => {
    const layers = [];
    for (let at = it; at; at = at.parentElement) {
      if (at.namespaceURI === "http://www.w3.org/2000/svg") continue;
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ratio = (one, other) => {
    const [bright, dark] = [light(one), light(other)].sort((a, b) => b - a);
    return (bright + 0.05) / (dark + 0.05);
  };
  const faint = (it) => {
    let opacity = 1;
    for (let at = it; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    return opacity;
  };
  const told = new Set();
  for (const it of seen) {
    if (is_unseen(it) || it.closest("[disabled], option, .square, title")) continue;
    const says = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!says && !it.matches("input:not([type=checkbox], [type=radio], [type=hidden], [type=file]), textarea, select")) continue;
    const style = getComputedStyle(it);
    const below = ground(it);
    const ink = parsed(it.namespaceURI.endsWith("svg") ? style.fill : style.color);
    ink[3] *= faint(it);
    const size = parseFloat(style.fontSize);
    const is_large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(over(ink, below), below);
    const key = `${style.color} on ${below.slice(0, 3).map(Math.round)}`;
    if (found < (is_large ? 3 : 4.5) && !told.has(key)) {
      told.add(key);
      complain(`contrast ${found.toFixed(2)} (${key})`, it);
    }
  }

  // Small screens.
  if (document.documentElement.scrollWidth > innerWidth) {
    const wide = seen.filter((it) => it.getBoundingClientRect().right > innerWidth + 1 && !it.closest(".scroll, .tabs"));
    complain(`the page is ${document.documentElement.scrollWidth} wide`, wide[wide.length - 1]);
  }
  if (narrow) {
    for (const it of all("button, .button, input:not([type=hidden]), select, textarea, summary, nav a, a.tile").filter(shows)) {
      if (is_unseen(it)) continue;
      const target = it.matches("[type=checkbox], [type=radio]") && it.closest("label") ? it.closest("label") : it;
      const box = target.getBoundingClientRect();
      if (box.width < 24 || box.height < 24) complain(`a target of ${Math.round(box.width)} by ${Math.round(box.height)}`, it);
    }
  }
  return complaints;
})
