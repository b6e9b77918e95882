"use strict";
/* decisions.csv, as inflib/data/decisions.py and spreadsheets read it.

   Cells follow csv_text and csv_cell of inflib/storage/plain_text.py: one that a
   spreadsheet would run gets an apostrophe in front, which reading takes away. */
(function (Inflib) {
  const COLUMNS = [
    "pair_id",
    "labeler",
    "action",
    "value",
    "reason",
    "note",
    "decided_by",
    "decided_at",
  ];
  const DELIMITERS = [",", ";", "\t"]; // in some countries spreadsheets write others
  const FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

  const guarded = (text) => (FORMULA.test(text) ? "'" + text : text);

  Inflib.guarded = guarded;

  Inflib.csvCell = (cell) =>
    cell.startsWith("'") && guarded(cell.slice(1)) === cell ? cell.slice(1) : cell;

  /* The text of decisions.csv, a row per label in the order of deciding. */
  Inflib.decisionsText = function (decisions) {
    const labeler = labelerColumn();
    const rows = [...decisions.made].map(([row, decision]) => [
      guarded(Inflib.store.id(row)),
      guarded(labeler ? labeler.raw(row) : ""),
      decision.action,
      guarded(String(decision.value)),
      ...["reason", "note"].map((field) => guarded(decision[field])),
      guarded(decision.decided_by || decisions.by),
      guarded(decision.decided_at),
    ]);
    return Papa.unparse({ fields: COLUMNS, data: rows }, { newline: "\r\n" }) + "\r\n";
  };

  function labelerColumn() {
    const { store, facts } = Inflib;
    return store.byName.get("labeler") || store.byName.get(facts.group_columns[0]);
  }

  /* The text of a file in UTF-8, or in UTF-16 with its mark, as spreadsheets save it. */
  Inflib.decoded = function (buffer) {
    const [first, second] = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
    const little = first === 0xff && second === 0xfe;
    const big = first === 0xfe && second === 0xff;
    const encoding = little ? "utf-16le" : big ? "utf-16be" : "utf-8";
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(buffer);
    } catch {
      throw new Error("it is not UTF-8 text: save it as CSV in UTF-8");
    }
  };

  function headerOf(text, delimiter) {
    const [header = []] = Papa.parse(text, { delimiter, preview: 1 }).data;
    return header.map((each) => each.trim());
  }

  const isHeader = (names) =>
    ["pair_id", "action"].every((each) => names.includes(each));

  /* {decisions: Map row -> decision, unknown: pair_ids, problems: lines, open: rows that
     are still to be decided} of a file. The last row of a label wins. */
  Inflib.readDecisions = function (file) {
    const text = file.replace(/\r\n?/g, "\n"); // rows may be appended on any machine
    const delimiter = DELIMITERS.find((each) => isHeader(headerOf(text, each)));
    if (!delimiter) {
      const first = Inflib.short(text.split("\n", 1)[0], 60);
      throw new Error(`its first line is "${first}"; it needs pair_id and action`);
    }
    const header = headerOf(text, delimiter);
    const settings = { delimiter, newline: "\n", skipEmptyLines: "greedy" };
    const { data: lines, errors } = Papa.parse(text, settings);
    const broken = errors.find((each) => each.type === "Quotes");
    if (broken) {
      throw new Error(`the quotation marks of row ${broken.row + 1} do not match`);
    }
    const rows = rowsById();
    const result = { decisions: new Map(), unknown: [], problems: [], open: 0 };
    lines.slice(1).forEach((cells, i) => {
      const field = (name) => Inflib.csvCell(cells[header.indexOf(name)] ?? "");
      const row = rows.get(field("pair_id"));
      const decided = actionOf(field("action").trim(), field("value").trim());
      const problem = problemOf(decided);
      if (!decided.action && !decided.value) result.open += 1;
      else if (row === undefined) result.unknown.push(field("pair_id"));
      else if (problem) result.problems.push(`row ${i + 2}: ${problem}`);
      else {
        result.decisions.delete(row);
        const names = COLUMNS.slice(4);
        const values = names.map((name) => [name, field(name)]);
        result.decisions.set(row, { ...decided, ...Object.fromEntries(values) });
      }
    });
    return result;
  };

  /* As inflib/data/decisions.py reads them: in any case, and a number is a weight. */
  function actionOf(action, value) {
    const known = action.toLowerCase();
    if (!Inflib.ACTIONS.includes(known)) {
      const weight = action && !Inflib.weightProblem(action);
      return weight ? actionOf("weight", action) : { action, value };
    }
    const weighs = known === "weight" && !Inflib.weightProblem(value);
    return { action: known, value: weighs ? String(Number(value)) : "" };
  }

  function problemOf({ action, value }) {
    if (!Inflib.ACTIONS.includes(action)) {
      return `the action "${Inflib.short(action, 20)}" is none of ${Inflib.ACTIONS.join(", ")}`;
    }
    return action === "weight" ? Inflib.weightProblem(value) : "";
  }

  /* Why a text is no factor of a label's weight; "" where it is one. */
  Inflib.weightProblem = function (text) {
    const decimal = /^\+?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text.trim());
    const fits = decimal && Number.isFinite(Number(text));
    return fits ? "" : "a weight needs a value, 0 or more";
  };

  function rowsById() {
    const ids = Inflib.store.find("pair_id").texts;
    return new Map(ids.map((id, row) => [id, row]));
  }

  /* Hands a text to the browser as a file to save. */
  Inflib.saveFile = function (name, text) {
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    const link = Inflib.make("a", { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };
})(window.Inflib);
