"use strict";
/* What is typed above a column -> a test of rows.

   numbers     >0.1   <=2   0..1   ..0   3   several: <-1, >1   missing: -
   categories  dev, ben (one of these values), else values that contain the text
   texts       contain the text, in any case
   -           missing;  ! in front of either: not */
(function (Inflib) {
  const COMPARE = {
    ">": (x, y) => x > y,
    ">=": (x, y) => x >= y,
    "<": (x, y) => x < y,
    "<=": (x, y) => x <= y,
    "=": (x, y) => x === y,
  };
  const NUMBER = "[-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?";
  const ONE = new RegExp(`^(>=|<=|>|<|=)?\\s*(${NUMBER})$`, "i");
  const RANGE = new RegExp(`^(${NUMBER})?\\s*\\.\\.\\s*(${NUMBER})?$`, "i");

  /* A test of rows, or null for an empty text; throws where it cannot be read. */
  Inflib.columnTest = function (column, typed) {
    const text = typed.trim();
    if (!text) return null;
    if (column.kind === "number") return numberTest(column, text);
    if (text === "-") return (row) => column.raw(row) === "";
    if (text === "!-") return (row) => column.raw(row) !== "";
    const turned = text.startsWith("!");
    const wanted = (turned ? text.slice(1) : text).trim().toLowerCase();
    if (column.kind === "category") return categoryTest(column, wanted, turned);
    return (row) => column.raw(row).toLowerCase().includes(wanted) !== turned;
  };

  function numberTest(column, text) {
    const tests = text.split(/[,;]/).map((part) => oneNumber(column, part.trim()));
    const array = column.array;
    return (row) => tests.some((test) => test(array[row]));
  }

  function oneNumber(column, text) {
    if (text === "-") return (x) => x !== x;
    const exact = (number) => (column.dtype === "f4" ? Math.fround(number) : number);
    const range = RANGE.exec(text);
    if (range && (range[1] || range[2])) {
      const low = range[1] ? exact(Number(range[1])) : -Infinity;
      const high = range[2] ? exact(Number(range[2])) : Infinity;
      return (x) => x >= low && x <= high;
    }
    const one = ONE.exec(text);
    if (!one) throw new Error("write for example >0.1 or 0..1");
    const compare = COMPARE[one[1] || "="];
    const number = exact(Number(one[2]));
    return (x) => compare(x, number);
  }

  function categoryTest(column, wanted, turned) {
    const values = column.values.map((each) => String(each ?? "-").toLowerCase());
    const list = wanted.split(",").map((each) => each.trim());
    const whole = list.every((each) => values.includes(each));
    const fits = values.map((value) =>
      whole ? list.includes(value) : value.includes(wanted),
    );
    const array = column.array;
    return (row) => (fits[array[row]] || false) !== turned;
  }

  /* All filters that are set; `tests` are those that hold for the rows to show. */
  class Filters {
    constructor() {
      this.typed = new Map(); // column name -> {text, test}
      this.ranges = new Map(); // column name -> [low, high]
      this.flags = 0; // bits, of which a row needs any
      this.found = null; // by comparison: 1 where the search has found its words
      this.search = "";
      this.searched = true; // false until the search has read all texts
    }

    type(column, text) {
      this.typed.delete(column.name);
      const test = Inflib.columnTest(column, text);
      if (test) this.typed.set(column.name, { text: text.trim(), test, column });
    }

    brush(name, range) {
      if (range) this.ranges.set(name, range);
      else this.ranges.delete(name);
    }

    clear() {
      this.typed.clear();
      this.ranges.clear();
      this.flags = 0;
      this.found = null;
      this.search = "";
    }

    tests() {
      const store = Inflib.store;
      const tests = [...this.typed.values()].map((each) => each.test);
      for (const [name, [low, high]] of this.ranges) {
        const array = store.byName.get(name).array;
        tests.push((row) => array[row] >= low && array[row] <= high);
      }
      if (this.flags) {
        const bits = store.find("flags").array;
        tests.push((row) => (bits[row] & this.flags) !== 0);
      }
      if (this.found) tests.push((row) => this.found(row));
      return tests;
    }

    /* The rows of `order` that pass, in its order. */
    rows(order) {
      const tests = this.tests();
      if (!tests.length) return order;
      return order.filter((row) => tests.every((test) => test(row)));
    }

    /* In words, for the reason of a decision on all that match. */
    words() {
      const parts = [...this.typed.values()].map(({ text, column }) =>
        /^[<>=!]/.test(text) ? `${column.name} ${text}` : `${column.name}: ${text}`,
      );
      for (const [name, ends] of this.ranges) {
        const [low, high] = ends.map((x) =>
          Number.isFinite(x) ? Inflib.digits(x) : "",
        );
        parts.push(`${name}: ${low}..${high}`);
      }
      if (this.flags) {
        const flags = Inflib.store.find("flags").flags;
        const set = flags.filter((each) => (this.flags >> each.bit) & 1);
        parts.push("flagged: " + set.map((each) => each.label).join(" or "));
      }
      const part = this.searched ? "" : " (not all texts are read)";
      if (this.search) parts.push(`text contains "${this.search}"${part}`);
      return parts.join("; ");
    }
  }

  Inflib.Filters = Filters;
})(window.Inflib);
