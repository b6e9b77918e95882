"use strict";
/* The Labels tab: which labels are shown, in which order, and which one is open.

   `order` holds all rows as they were sorted, `rows` those of them that pass the
   filters. Grid, histograms, search and details listen: `refresh` tells them. */
(function (Inflib) {
  const { make, byId, count } = Inflib;

  class Labels {
    constructor(store) {
      this.store = store;
      this.filters = new Inflib.Filters();
      this.query = Inflib.facts.queries.length ? Inflib.facts.queries[0].name : null;
      this.order = Uint32Array.from({ length: store.rows }, (_, row) => row);
      this.rows = this.order;
      this.open = null; // the row whose details are shown
      this.listeners = [];
    }

    /* Sort by a column; rows that are equal keep the order they had. */
    sort(column, ascending) {
      this.sortedBy = { column, ascending };
      this.order = Inflib.sorted(this.order, column.keys(), ascending);
      this.refresh();
    }

    refresh() {
      this.rows = this.filters.rows(this.order);
      showCount(this);
      for (const listener of this.listeners) listener();
    }

    /* The place of a row among those that are shown, or -1. */
    place(row) {
      return row === null ? -1 : this.rows.indexOf(row);
    }
  }

  function showCount(labels) {
    const { rows, store } = labels;
    const all = rows.length === store.rows;
    byId("match-count").textContent = all
      ? `${count(store.rows)} labels`
      : `${count(rows.length)} of ${count(store.rows)} labels match`;
    byId("clear-filters").disabled = all && !labels.filters.words();
    byId("decide-all").disabled = rows.length === 0;
    const words = labels.filters.words();
    byId("filter-words").textContent = Inflib.visible(words);
  }

  /* Chips of the flags: a row needs any of those that are pressed. */
  function makeChips(labels) {
    const column = labels.store.find("flags");
    const box = byId("flag-chips");
    if (!column) return box.closest("fieldset").remove();
    const counts = new Array(32).fill(0);
    for (const bits of column.array) {
      for (const { bit } of column.flags) counts[bit] += (bits >> bit) & 1;
    }
    for (const { bit, label, meaning } of column.flags) {
      const chip = make(
        "button",
        { type: "button", class: "chip", "aria-pressed": "false", title: meaning },
        label + " ",
        make("span", { class: "quiet" }, count(counts[bit])),
      );
      chip.addEventListener("click", () => {
        labels.filters.flags ^= 1 << bit;
        const on = (labels.filters.flags >> bit) & 1;
        chip.setAttribute("aria-pressed", String(Boolean(on)));
        labels.refresh();
      });
      box.append(chip);
    }
  }

  function makeQueryChooser(labels) {
    const chooser = byId("query-set");
    for (const { name, status } of Inflib.facts.queries) {
      const text = `${Inflib.short(name, 40)} (${status})`;
      chooser.append(make("option", { value: name }, text));
    }
    const show = () => byId("query-verdict").replaceChildren(verdictLine(labels.query));
    chooser.addEventListener("change", () => {
      labels.query = chooser.value;
      show();
      Inflib.showQueryColumns(labels.query);
      Inflib.drawHistograms();
      Inflib.showDetail();
    });
    show();
  }

  /* The verdict and what decided it; the Query sets tab has the other reasons. */
  function verdictLine(name) {
    const query = Inflib.facts.queries.find((each) => each.name === name);
    if (!query) return "";
    const [first, ...others] = query.reasons || [];
    const text = first ? " " + Inflib.visible(first) + " " : "";
    const more = make("a", { href: "#query-sets" }, `and ${others.length} more`);
    return make("span", {}, Inflib.verdict(name), text, others.length ? more : null);
  }

  /* Everything that filters is emptied, and so are its inputs. */
  Inflib.clearFilters = function () {
    Inflib.labels.filters.clear();
    Inflib.stopSearch();
    byId("search").value = "";
    for (const chip of byId("labels").querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", "false");
    }
    for (const input of byId("labels").querySelectorAll(".column-filter")) {
      input.value = "";
      input.removeAttribute("aria-invalid");
    }
    Inflib.labels.refresh();
    Inflib.clearBrushes();
    Inflib.say("All filters are cleared.");
  };

  /* Fills the tab, once its columns are there. */
  Inflib.startLabels = async function () {
    const payload = await Inflib.load("columns");
    Inflib.store = new Inflib.Store(payload);
    await Inflib.store.ready();
    Inflib.decisions = new Inflib.Decisions(Inflib.facts.digest);
    const labels = (Inflib.labels = new Labels(Inflib.store));
    const first = Inflib.store.score("influence", labels.query);
    labels.sortedBy = {
      column: first || Inflib.store.find("pair_id"),
      ascending: !first,
    };
    if (first) labels.order = Inflib.sorted(labels.order, first.keys(), false);
    labels.rows = labels.order;
    makeQueryChooser(labels);
    makeChips(labels);
    byId("clear-filters").addEventListener("click", Inflib.clearFilters);
    byId("labels-loading").remove();
    byId("labels-body").hidden = false;
    showCount(labels);
  };
})(window.Inflib);
