"use strict";
/* Full-text search: the chunks of texts are read one after the other, and every
   comparison that holds the words is found, in any script and case. Labels are shown
   as they are found; typing something else or clearing stops the search. */
(function (Inflib) {
  const { byId, count } = Inflib;
  let current = 0; // number of the search that may go on

  Inflib.stopSearch = function () {
    current += 1;
    byId("search-state").textContent = "";
    byId("search-stop").hidden = true;
    Inflib.labels.filters.found = null;
    Inflib.labels.filters.search = "";
  };

  async function search(words) {
    Inflib.stopSearch();
    const number = current;
    const { store, labels } = Inflib;
    const wanted = words.trim().toLowerCase();
    if (!wanted) return labels.refresh();
    const found = new Uint8Array(store.comparisons);
    const codes = store.find("comparison").array;
    const ids = store.find("pair_id").texts;
    const named = Uint8Array.from(ids, (id) =>
      id.toLowerCase().includes(wanted) ? 1 : 0,
    );
    labels.filters.found = (row) => found[codes[row]] === 1 || named[row] === 1;
    labels.filters.search = words.trim();
    labels.filters.searched = false;
    labels.refresh();
    byId("search-stop").hidden = false;
    const chunks = Math.ceil(store.comparisons / store.textsPerChunk);
    let shown = performance.now();
    for (let c = 0; c < chunks; c++) {
      const texts = await Inflib.chunk("texts", c);
      if (number !== current) return;
      texts.forEach((each, i) => {
        const hit = each.some((text) => text.toLowerCase().includes(wanted));
        if (hit) found[c * store.textsPerChunk + i] = 1;
      });
      if (performance.now() - shown > 300 && c + 1 < chunks) {
        labels.refresh();
        byId("search-state").textContent =
          `${Math.round((100 * (c + 1)) / chunks)}% read`;
        await new Promise((resolve) => setTimeout(resolve));
        if (number !== current) return;
        shown = performance.now();
      }
    }
    labels.filters.searched = true;
    labels.refresh();
    byId("search-stop").hidden = true;
    byId("search-state").textContent = "";
    Inflib.say(`${count(labels.rows.length)} labels match.`);
  }

  Inflib.startSearch = function () {
    const input = byId("search");
    const run = (words) =>
      search(words).catch((error) => {
        byId("search-state").textContent = error.message;
        byId("search-stop").hidden = true;
      });
    const typed = Inflib.patient(() => run(input.value), 350);
    input.addEventListener("input", typed);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape")
        Inflib.byId("grid").querySelector(".grid-canvas").focus();
    });
    byId("search-stop").addEventListener("click", () => {
      current += 1;
      byId("search-stop").hidden = true;
      byId("search-state").textContent = "stopped; what was found so far is shown";
    });
  };
})(window.Inflib);
