"use strict";
/* Of the most harmful labels: the training labels nearest in gradient space, and the
   query labels they harm most, whose texts open on demand. */
(function (Inflib) {
  const { make, digits } = Inflib;
  const QUERY_CHUNK = 256;

  Inflib.neighbourPanel = function (row) {
    const box = make("section", { class: "neighbours" });
    const position = Inflib.facts.near[row];
    if (position === undefined) {
      const id = quoted(Inflib.visible(Inflib.store.id(row)));
      box.append(
        make("h4", {}, "Neighbours"),
        make(
          "p",
          { class: "quiet" },
          "They are stored for the most harmful labels only. The influence of this one on " +
            "every query label: ",
          make(
            "code",
            {},
            `inflib explain --run ${Inflib.facts.run} --explain.train_pairs ${id}`,
          ),
        ),
      );
      return box;
    }
    box.append(make("p", { class: "quiet loading" }, "Loading neighbours …"));
    Inflib.fill(box, row, async () => {
      const chunk = Math.floor(position / Inflib.store.nearPerChunk);
      const near = (await Inflib.chunk("near", chunk))[row];
      return [...nearest(near.nearest), ...harmed(near.queries)];
    });
    return box;
  };

  const quoted = (text) =>
    /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

  function nearest(pairs) {
    const { store, labels } = Inflib;
    const influence = store.score("influence", labels.query);
    const group = store.byName.get(Inflib.facts.group_columns[0]);
    const rows = pairs.map(([row, cosine]) =>
      make(
        "tr",
        {},
        make("td", {}, Inflib.labelLink(row)),
        make("td", { dir: "auto" }, group ? group.text(row) : ""),
        make("td", { class: "number" }, cosine.toFixed(2)),
        make("td", { class: "number" }, influence ? influence.text(row) : ""),
      ),
    );
    const heads = [
      "label",
      group ? Inflib.short(group.label, 40) : "",
      "cosine",
      Inflib.influenceHead(),
    ];
    return [
      make("h4", {}, "Nearest training labels"),
      Inflib.table("nearest training labels", heads, rows, 2),
      make("p", { class: "quiet" }, Inflib.facts.near_accuracy),
    ];
  }

  function harmed(queries) {
    const items = queries.map(([q, queryRow, id, product, cosine]) => {
      const { name } = Inflib.facts.queries[q];
      const text = make("div", {});
      const details = make(
        "details",
        {},
        make(
          "summary",
          {},
          Inflib.verdict(name),
          ` ${Inflib.short(name, 40)}: ${Inflib.short(id, 60)} `,
          make(
            "span",
            { class: "quiet" },
            `product ${digits(product)}, cosine ${digits(cosine)}`,
          ),
        ),
        text,
      );
      details.addEventListener("toggle", () => {
        if (details.open && !text.firstChild) openQuery(text, q, queryRow);
      });
      return details;
    });
    return [make("h4", {}, "Query labels it harms most"), ...items];
  }

  async function openQuery(box, q, row) {
    try {
      const chunk = await Inflib.chunk("queries-" + q, Math.floor(row / QUERY_CHUNK));
      const [prompt, chosen, rejected] = chunk[row % QUERY_CHUNK];
      box.replaceChildren(
        ...Inflib.promptText(prompt),
        ...Inflib.responses(chosen, rejected),
      );
    } catch (error) {
      box.replaceChildren(
        make("p", { class: "problem", role: "alert" }, error.message),
      );
    }
  }
})(window.Inflib);
