// The page's own behaviour: draw the figures, isolate curves from the legend, move through densities, save a figure.
// Reads the JSON of #data and the elements' data attributes; sends and loads nothing.
"use strict";
(() => {
  const { figures, light } = JSON.parse(document.getElementById("data").textContent);
  for (const { spec } of Object.values(figures))
    for (const [name, columns] of Object.entries(spec.datasets)) {
      const fields = Object.keys(columns);
      spec.datasets[name] = columns[fields[0]].map((_, i) => Object.fromEntries(fields.map((field) => [field, columns[field][i]])));
    }
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { theme: "report" } };
  const views = {};
  const picked = new Set();
  const all = (selector) => Array.from(document.querySelectorAll(selector));

  const draw = async (place) => {
    const name = place.dataset.figure;
    views[name] = (await vegaEmbed(place, figures[name].spec, options)).view;
  };

  const tell = () => {
    for (const view of Object.values(views)) view.signal("picked", [...picked]).runAsync();
    for (const legend of all(".legend")) legend.classList.toggle("some", picked.size > 0);
    for (const button of all("[data-curve]")) button.setAttribute("aria-pressed", picked.has(button.dataset.curve));
    for (const button of all("[data-all]")) button.hidden = picked.size === 0;
  };

  const pick = (curve, more) => {
    const alone = picked.has(curve) && picked.size === 1;
    if (more) picked.has(curve) ? picked.delete(curve) : picked.add(curve);
    else {
      picked.clear();
      if (!alone) picked.add(curve);
    }
    tell();
  };

  // A file knows nothing of this page's style: colours are written out, the title and a legend go in.
  const painted = (name) => {
    const text = JSON.stringify(figures[name].spec).replace(/"var\(--(\w+)\)"/g, (all, key) => JSON.stringify(light[key] ?? all));
    const spec = JSON.parse(text);
    for (const { encoding } of spec.layer)
      for (const channel of ["color", "strokeDash", "shape"])
        if (encoding[channel]) encoding[channel].legend = { title: null, symbolSize: 90, symbolStrokeWidth: 0, symbolOpacity: 1, labelFontSize: 12 };
    return { ...spec, width: 640, height: 400, autosize: "pad", background: "white", padding: 16, title: figures[name].title };
  };

  const save = async (name, type) => {
    const place = document.createElement("div");
    const { view } = await vegaEmbed(place, painted(name), options);
    view.signal("picked", [...picked]);
    if (figures[name].stops.length) view.signal("stop", views[name].signal("stop"));
    await view.runAsync();
    const link = document.createElement("a");
    link.href = await view.toImageURL(type, 2);
    link.download = `${name}.${type}`;
    link.click();
    view.finalize();
  };

  for (const button of all("[data-curve]"))
    button.addEventListener("click", (event) => pick(button.dataset.curve, event.shiftKey || event.ctrlKey || event.metaKey));
  const everything = () => {
    picked.clear();
    tell();
  };
  for (const button of all("[data-all]")) button.addEventListener("click", everything);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") everything();
  });
  for (const slider of all("[data-stop]"))
    slider.addEventListener("input", () => {
      slider.parentElement.querySelector("output").textContent = slider.dataset.stops.split("|")[slider.value];
      views[slider.dataset.stop].signal("stop", Number(slider.value)).runAsync();
    });
  for (const button of all("[data-save]")) button.addEventListener("click", () => save(button.dataset.of, button.dataset.save));

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });

  Promise.all(all("[data-figure]").map(draw)).then(() => {
    document.documentElement.dataset.drawn = "true";
  });
})();
