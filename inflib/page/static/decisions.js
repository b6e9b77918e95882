"use strict";
/* What was decided on labels, kept in this browser under the run's digest.

   A decision is {action, value, reason, note, decided_by, decided_at}; the action is
   keep, flip, drop, tie or weight, whose value is the label's factor. Every change can
   be undone. Stored with each text once, so that 10^5 decisions fit. */
(function (Inflib) {
  const FIELDS = ["action", "value", "reason", "note", "decided_by", "decided_at"];
  const PERSON = "inflib-decided-by";
  const SOON = 500; // ms until a change is kept

  Inflib.ACTIONS = ["keep", "flip", "drop", "tie", "weight"];

  class Decisions {
    constructor(digest) {
      this.key = "inflib-decisions-" + digest;
      this.made = new Map(); // row -> decision
      this.past = []; // changes that can be undone: {what, before: [[row, decision]]}
      this.listeners = [];
      this.trouble = "";
      this.waiting = null; // timer, while a change is not kept yet
      this.by = stored(PERSON) || "";
      this.restore();
    }

    get(row) {
      return this.made.get(row) || null;
    }

    /* Decide on some rows at once; `decision` may be null: as if nothing was decided.
       what: said when it is undone. */
    decide(rows, decision, what) {
      const at = new Date().toISOString().replace(/\.\d+Z$/, "Z");
      const signed = { decided_by: this.by, decided_at: at };
      this.change(
        Array.from(rows, (row) => {
          if (!decision) return [row, null];
          const note = decision.note ?? (this.made.get(row) || {}).note ?? "";
          const whole = { value: "", reason: "", ...decision, note, ...signed };
          return [row, whole];
        }),
        what,
      );
    }

    note(row, text) {
      const before = this.made.get(row);
      if (before) this.change([[row, { ...before, note: text }]], "the note");
    }

    /* pairs: [row, decision or null] */
    change(pairs, what) {
      const before = pairs.map(([row]) => [row, this.get(row)]);
      this.past.push({ what, before });
      this.put(pairs);
    }

    /* What was undone, or null where nothing was left. */
    undo() {
      const last = this.past.pop();
      if (!last) return null;
      this.put(last.before);
      return last;
    }

    put(pairs) {
      for (const [row, decision] of pairs) {
        this.made.delete(row); // the latest one is the last
        if (decision) this.made.set(row, decision);
      }
      if (this.waiting === null) {
        this.waiting = setTimeout(() => this.keepNow(), SOON);
      }
      this.tell(pairs.map(([row]) => row));
    }

    tell(rows) {
      for (const listener of this.listeners) listener(rows);
    }

    counts() {
      const counts = Object.fromEntries(Inflib.ACTIONS.map((action) => [action, 0]));
      for (const decision of this.made.values()) counts[decision.action] += 1;
      return counts;
    }

    setPerson(name) {
      this.by = name;
      write(PERSON, name);
    }

    /* Keeps what changed since the last time. All are written at once, which takes a
       tenth of a second for 10^5: so not at every key. */
    keepNow() {
      if (this.waiting === null) return;
      clearTimeout(this.waiting);
      this.waiting = null;
      const before = this.trouble;
      this.keep();
      if (this.trouble !== before) this.tell([]);
    }

    keep() {
      const places = new Map();
      const place = (text) => {
        if (!places.has(text)) places.set(text, places.size);
        return places.get(text);
      };
      const rows = [...this.made].map(([row, decision]) => [
        row,
        ...FIELDS.map((field) => place(String(decision[field]))),
      ]);
      const text = JSON.stringify({ texts: [...places.keys()], rows });
      this.trouble = write(this.key, text)
        ? ""
        : "This browser cannot keep the decisions: save them as decisions.csv before " +
          "you close the page.";
    }

    restore() {
      try {
        const { texts, rows } = JSON.parse(stored(this.key)) || { texts: [], rows: [] };
        for (const [row, ...places] of rows) {
          const values = FIELDS.map((field, i) => [field, texts[places[i]]]);
          const decision = Object.fromEntries(values);
          const known = Inflib.ACTIONS.includes(decision.action);
          if (known && row < Inflib.facts.labels) this.made.set(row, decision);
        }
      } catch (error) {
        this.trouble = "The decisions that this browser kept cannot be read: " + error;
      }
    }
  }

  function stored(key) {
    try {
      return window.localStorage.getItem(key);
    } catch {
      return null;
    }
  }

  function write(key, text) {
    try {
      window.localStorage.setItem(key, text);
      return true;
    } catch {
      return false;
    }
  }

  // Before the page is left, or another window of the same report is turned to.
  for (const event of ["pagehide", "blur"]) {
    window.addEventListener(event, () => Inflib.decisions?.keepNow());
  }

  /* Another window of the same report has decided: show it here. */
  window.addEventListener("storage", ({ key }) => {
    const { decisions } = Inflib;
    if (!decisions || key !== decisions.key) return;
    const rows = [...decisions.made.keys()];
    decisions.made.clear();
    decisions.past = [];
    decisions.restore();
    rows.push(...decisions.made.keys());
    decisions.tell(rows);
  });

  /* The decisions as a column of the grid. */
  Inflib.decisionColumn = {
    name: "(decision)", // not that of a column of the data
    label: "decision",
    meaning: "what you decided on the label",
    unit: "",
    role: "decision",
    kind: "text",
    shown: true,
    raw(row) {
      const decision = Inflib.decisions.get(row);
      if (!decision) return "";
      const { action, value } = decision;
      return action === "weight" ? `weight ${value}` : action;
    },
    text(row) {
      return this.raw(row);
    },
    keys() {
      return Array.from({ length: Inflib.store.rows }, (_, row) => this.raw(row));
    },
  };

  Inflib.Decisions = Decisions;
})(window.Inflib);
