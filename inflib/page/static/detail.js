"use strict";
/* The details of one label: decision, texts, numbers by query set, who else judged the
   comparison, neighbours. What comes from other files is filled in as it arrives. */
(function (Inflib) {
  const { make, byId, digits } = Inflib;
  let shownRow = null;

  /* Opens a label: its details, and its address. */
  Inflib.openLabel = function (row) {
    Inflib.labels.open = row;
    history.replaceState(null, "", "#label/" + row);
    Inflib.showDetail();
    const influence = Inflib.store.score("influence", Inflib.labels.query);
    const value = influence ? `, influence ${influence.text(row) || "missing"}` : "";
    const decision = Inflib.decisionColumn.raw(row);
    const id = Inflib.short(Inflib.store.id(row), 80);
    Inflib.say(`${id}${value}, ${decision || "not decided"}`, false);
  };

  Inflib.showDetail = function () {
    const row = Inflib.labels.open;
    const box = byId("detail");
    if (row === null) return;
    const { store } = Inflib;
    const id = Inflib.short(store.id(row), 80);
    const texts = make(
      "div",
      { class: "texts" },
      make("p", { class: "quiet loading" }, "Loading texts …"),
    );
    const scores = make("div", {});
    box.replaceChildren(
      make(
        "header",
        { class: "detail-head" },
        make("h3", { id: "detail-title" }, id),
        flags(row),
      ),
      Inflib.decisionPanel(row),
      texts,
      scores,
      facts(row),
      judges(row),
      Inflib.neighbourPanel(row),
    );
    if (shownRow !== row) box.scrollTop = 0;
    shownRow = row;
    fill(texts, row, async () => {
      const { prompt, chosen, rejected } = await Inflib.labelTexts(row);
      return [
        make(
          "div",
          { class: "prompt" },
          make("h4", {}, "prompt"),
          ...Inflib.promptText(prompt),
        ),
        ...Inflib.responses(chosen, rejected),
      ];
    });
    scores.replaceChildren(...scoreTable(row));
    fill(scores, row, async () => {
      await store.more();
      return scoreTable(row);
    });
  };

  /* Puts what `content` gives into a box, unless another label is shown by then. */
  async function fill(box, row, content) {
    try {
      const nodes = await content();
      if (Inflib.labels.open === row) box.replaceChildren(...nodes);
    } catch (error) {
      for (const each of box.querySelectorAll(".loading")) each.remove();
      box.append(make("p", { class: "problem", role: "alert" }, error.message));
    }
  }
  Inflib.fill = fill;

  function flags(row) {
    const column = Inflib.store.find("flags");
    const labels = column ? column.labelsOf(row) : [];
    return make(
      "span",
      {},
      ...labels.map((label) => make("span", { class: "flag" }, label)),
    );
  }

  /* Influence with its 95% interval, by query set and curvature. */
  function scoreTable(row) {
    const { store, facts } = Inflib;
    const influences = store.columns.filter((each) => each.role === "influence");
    const place = (each) =>
      facts.queries.findIndex((query) => query.name === each.query);
    influences.sort((a, b) => place(a) - place(b));
    const rows = influences.map((column) => {
      const { query, curvature } = column;
      const of = (role) => {
        const other = store.find(role, query, curvature);
        return other ? other.value(row) : NaN;
      };
      const value = column.value(row);
      const error = Inflib.errorsIn95(query) * of("error");
      const known = facts.queries.find((each) => each.name === query);
      const usable = !known || known.status !== "not usable";
      const clear = usable && Math.abs(value) > error;
      const cells = [
        interval(value, error),
        digits(of("flip_effect")),
        Number.isNaN(of("rank")) ? "" : Inflib.count(of("rank")),
      ];
      return make(
        "tr",
        { class: clear ? (value > 0 ? "harmful" : "helpful") : "" },
        make(
          "th",
          { scope: "row" },
          Inflib.verdict(query),
          " " + Inflib.short(query, 40),
        ),
        make(
          "td",
          {},
          curvature.replace(/_/g, " ") +
            (curvature === facts.reported ? " (reported)" : ""),
        ),
        ...cells.map((text) => make("td", { class: "number" }, text)),
      );
    });
    const head = ["query set", "curvature", "influence ± 95%", "flip effect", "rank"];
    const missing = make("p", { class: "quiet" }, "This label has no scores.");
    return [
      make(
        "h4",
        { title: "above 0: the label raises the loss on the query set" },
        "Influence (above 0: harmful)",
      ),
      rows.length ? Inflib.table("influence by query set", head, rows, 3) : missing,
    ];
  }

  function interval(value, error) {
    if (Number.isNaN(value)) return "no score";
    if (Number.isNaN(error)) return digits(value);
    const power = Math.floor(Math.log10(Math.max(Math.abs(value), error) || 1));
    if (power >= -3 && power < 5) {
      const decimals = Math.min(Math.max(2 - power, 0), 6);
      return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`;
    }
    const [middle, width] = [value, error].map((x) => (x / 10 ** power).toFixed(2));
    return `(${middle} ± ${width})e${power}`;
  }
  Inflib.interval = interval;

  /* A table of the page: heads are texts or nodes, rows are <tr>; the last `numeric`
     columns hold numbers. */
  Inflib.table = function (name, heads, rows, numeric) {
    const cells = heads.map((head, i) => {
      const number = i >= heads.length - numeric ? "number" : null;
      return make("th", { scope: "col", class: number }, head);
    });
    const table = make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...cells)),
      make("tbody", {}, ...rows),
    );
    return make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
      table,
    );
  };

  /* Margin, lengths, and the label's own columns. */
  function facts(row) {
    const roles = [
      "margin",
      "crossfit_margin",
      "loss",
      "length_difference",
      "gradient_norm",
      "target",
      "weight",
      "status",
      "self_influence",
      "own",
      "labeler",
    ];
    const columns = Inflib.store.columns.filter((each) => roles.includes(each.role));
    const items = columns.flatMap((column) => {
      const text =
        column.kind === "text" ? Inflib.short(column.raw(row), 400) : column.text(row);
      if (!text) return [];
      const title = Inflib.short(column.meaning || "", 300);
      return [
        make(
          "div",
          {},
          make("dt", { title }, Inflib.short(column.label, 60)),
          make("dd", { dir: "auto" }, text),
        ),
      ];
    });
    return make("dl", { class: "facts" }, ...items);
  }

  Inflib.influenceHead = function () {
    const { query } = Inflib.labels;
    return make(
      "span",
      {},
      Inflib.mark(query),
      ` influence, ${Inflib.short(query || "", 40)}`,
    );
  };

  /* A link that opens another label. */
  Inflib.labelLink = (row) =>
    make("a", { href: "#label/" + row }, Inflib.short(Inflib.store.id(row), 60));

  function judges(row) {
    const { store, labels } = Inflib;
    const others = [...store.judged(store.find("comparison").value(row))].filter(
      (each) => each !== row,
    );
    const heading = make("h4", {}, "Who else judged this comparison");
    if (!others.length) {
      return make("section", {}, heading, make("p", { class: "quiet" }, "Nobody."));
    }
    const sign = store.find("sign");
    const target = store.find("target");
    const influence = store.score("influence", labels.query);
    const group = store.byName.get(Inflib.facts.group_columns[0]);
    const tie = (each) => target && target.value(each) === 0.5;
    const rows = others.slice(0, 100).map((each) => {
      const same = sign.value(each) === sign.value(row);
      const verdict = tie(each) ? "a tie" : same ? "chose the same" : "chose the other";
      return make(
        "tr",
        { class: same ? "" : "disagrees" },
        make("td", {}, Inflib.labelLink(each)),
        make("td", { dir: "auto" }, group ? group.text(each) : ""),
        make("td", {}, verdict),
        make("td", { class: "number" }, influence ? influence.text(each) : ""),
      );
    });
    const heads = [
      "label",
      group ? Inflib.short(group.label, 40) : "",
      "verdict",
      Inflib.influenceHead(),
    ];
    return make(
      "section",
      {},
      heading,
      Inflib.table("labels on the same comparison", heads, rows, 1),
    );
  }
})(window.Inflib);
