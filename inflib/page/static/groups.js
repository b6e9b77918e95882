"use strict";
/* A page per labeler, or whatever the labels are grouped by: #group/<column>/<i>. Its
   facts, its most harmful decisions with their texts, and a way to the grid. */
(function (Inflib) {
  const { make, byId, count, digits } = Inflib;
  const SHOWN = 20;

  /* Tests whether a row is in a group; "-" is the group of labels without a value. */
  function inGroup(column, name) {
    return (row) => (column.raw(row) || "-") === name;
  }

  /* The rows of a group, the most harmful first. */
  function worstRows(column, name) {
    const { store, labels } = Inflib;
    const influence = store.score("influence", labels.query);
    const rows = labels.order.filter(inGroup(column, name));
    return influence ? Inflib.sorted(rows, influence.keys(), false) : rows;
  }

  Inflib.showGroup = async function (name, index) {
    const box = byId("group");
    const group = (Inflib.facts.groups[name] || [])[index];
    if (!group) return box.replaceChildren(make("p", {}, "There is no such group."));
    const title = `${Inflib.short(name, 40)}: ${Inflib.short(String(group.name), 80)}`;
    const list = make("div", { class: "worst" });
    const button = make("button", { type: "button" }, "Show these labels in the grid");
    box.replaceChildren(
      make("p", {}, make("a", { href: "#labelers" }, "All labelers")),
      make("h2", { id: "group-title", tabindex: "-1", dir: "auto" }, title),
      facts(group),
      make("p", {}, button),
      make("h3", {}, `Most harmful labels`),
      list,
    );
    byId("group-title").focus({ preventScroll: true });
    try {
      const column = Inflib.store.byName.get(name);
      if (!column) throw new Error(`The labels have no column ${name}.`);
      button.addEventListener("click", () => showInGrid(column, String(group.name)));
      const rows = worstRows(column, String(group.name));
      const { query } = Inflib.labels;
      list.before(
        make(
          "p",
          {},
          Inflib.verdict(query),
          ` by influence on ${Inflib.short(query || "", 40)}`,
        ),
      );
      for (const row of rows.slice(0, SHOWN)) list.append(await article(row));
    } catch (error) {
      list.append(make("p", { class: "problem", role: "alert" }, error.message));
    }
  };

  function facts(group) {
    const rate = `at a false discovery rate of ${digits(100 * Inflib.facts.fdr)}%`;
    const found = Inflib.facts.queries
      .map(({ name }) => ({ name, ...group.by_query[name] }))
      .filter((each) => each.text);
    const harms = found.map(({ name, text, harmful }) => [
      make("span", {}, Inflib.verdict(name), ` harm to ${Inflib.short(name, 40)}`),
      text + (harmful ? `: harmful for sure, ${rate}` : ""),
    ]);
    const doubts = found
      .filter((each) => each.suspicious)
      .map(({ name, because }) => `${because} (${name})`);
    const pairs = [
      ["labels", count(group.labels)],
      ["errs", group.errs],
      ...harms,
      ["suspicious because", Inflib.short(doubts.join("; "), 400)],
      [
        "prefers",
        (group.prefers || []).map((each) => Inflib.short(String(each), 120)).join("; "),
      ],
    ];
    const items = pairs
      .filter(([, text]) => text)
      .map(([name, text]) =>
        make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, text)),
      );
    return make("dl", { class: "facts" }, ...items);
  }

  async function article(row) {
    const { store, labels } = Inflib;
    const { prompt, chosen, rejected } = await Inflib.labelTexts(row);
    const influence = store.score("influence", labels.query);
    const error = store.score("error", labels.query);
    const width = error ? Inflib.errorsIn95(labels.query) * error.value(row) : NaN;
    const text = influence
      ? `influence ${Inflib.interval(influence.value(row), width)}`
      : "";
    return make(
      "article",
      { class: "label" },
      make(
        "h4",
        {},
        Inflib.labelLink(row),
        make("span", { class: "quiet" }, " " + text),
      ),
      make("div", { class: "prompt" }, ...Inflib.promptText(prompt)),
      ...Inflib.responses(chosen, rejected),
    );
  }

  function showInGrid(column, name) {
    Inflib.clearFilters();
    const { typed } = Inflib.labels.filters;
    const test = inGroup(column, name);
    typed.set(column.name, { text: name, test, column });
    const influence = Inflib.store.score("influence", Inflib.labels.query);
    if (influence) Inflib.sortBy(influence, false);
    Inflib.showColumn(column.name);
    location.hash = "#labels";
  }
})(window.Inflib);
