"use strict";
/* Columns of all labels: typed arrays, decoded when they are first used.

   A column has text(row), what its cell shows; value(row), a number that is NaN where
   it is missing (codes of categories, bits of flags); and keys(), by which to sort. */
(function (Inflib) {
  const ARRAYS = {
    f4: Float32Array,
    i4: Int32Array,
    i1: Int8Array,
    u1: Uint8Array,
    u2: Uint16Array,
    u4: Uint32Array,
  };

  class Column {
    constructor(spec) {
      Object.assign(this, spec);
      this.spec = spec;
    }

    /* Decodes the values: into `texts`, or into the typed array `array`. */
    async ready() {
      const { data } = this;
      if (data === null) return;
      if (this.kind === "text") this.texts = await Inflib.inflateJson(data);
      else {
        const buffer = await Inflib.inflate(data).arrayBuffer();
        this.array = new ARRAYS[this.dtype](buffer);
      }
      this.data = this.spec.data = null; // the text is no longer needed
    }

    value(row) {
      return this.array[row];
    }

    /* The cell's own text; "" where it is missing. */
    raw(row) {
      if (this.kind === "text") return this.texts[row] || "";
      if (this.kind === "category") {
        const text = this.values[this.array[row]];
        return text === null || text === undefined ? "" : String(text);
      }
      if (this.kind === "flags") return this.labelsOf(row).join(", ");
      return Inflib.digits(this.array[row]);
    }

    text(row) {
      return Inflib.short(this.raw(row));
    }

    labelsOf(row) {
      const bits = this.array[row];
      return this.flags.filter((each) => (bits >> each.bit) & 1).map((f) => f.label);
    }

    /* Numbers (NaN: missing), or strings ("": missing), one per row. */
    keys() {
      if (this.kind === "text") return this.texts.map(sortable);
      if (this.kind === "category") return Float64Array.from(this.array, this.places());
      if (this.kind === "flags") return Float64Array.from(this.array, bitCount);
      return this.array;
    }

    /* code -> its place among the values in alphabetical order */
    places() {
      const named = this.values.map((text, code) => [text, code]);
      const known = named.filter(([text]) => text !== null && text !== "");
      const sorted = known.map(([text, code]) => [sortable(String(text)), code]);
      sorted.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      const places = new Float64Array(this.values.length).fill(NaN);
      sorted.forEach(([, code], place) => (places[code] = place));
      return (code) => (code in places ? places[code] : NaN);
    }
  }

  // A text's only number is padded, so that train-9 comes before train-10.
  function sortable(text) {
    const lower = (text || "").toLowerCase();
    if (!/^\D*\d{1,12}\D*$/.test(lower)) return lower;
    return lower.replace(/\d+/, (run) => run.padStart(12, "0"));
  }

  function bitCount(bits) {
    let count = 0;
    for (let rest = bits; rest; rest &= rest - 1) count += 1;
    return count;
  }

  class Store {
    constructor(payload) {
      this.rows = payload.rows;
      this.comparisons = payload.comparisons;
      this.textsPerChunk = payload.texts_per_chunk;
      this.nearPerChunk = payload.near_per_chunk;
      this.columns = payload.columns.map((spec) => new Column(spec));
      this.byName = new Map(this.columns.map((each) => [each.name, each]));
    }

    ready() {
      return Promise.all(this.columns.map((each) => each.ready()));
    }

    /* The column of a role; of scores, for a query set and a curvature. */
    find(role, query = null, curvature = null) {
      const same = (each) =>
        each.role === role && each.query === query && each.curvature === curvature;
      return this.columns.find(same);
    }

    /* The reported curvature's column for a query set. */
    score(role, query) {
      return this.find(role, query, Inflib.facts.reported);
    }

    id(row) {
      return this.find("pair_id").texts[row];
    }

    /* Adds the columns of the curvatures that are stored apart. */
    async more() {
      const files = Inflib.facts.scores || [];
      const payloads = await Promise.all(files.map((_, i) => Inflib.load("scores", i)));
      for (const spec of payloads.flatMap((payload) => payload.columns)) {
        if (this.byName.has(spec.name)) continue;
        const column = new Column(spec);
        await column.ready();
        if (this.byName.has(spec.name)) continue; // two asked at once
        this.columns.push(column);
        this.byName.set(spec.name, column);
      }
    }

    /* All rows on a comparison, in order. */
    judged(comparison) {
      if (!this.firsts) this.indexComparisons();
      return this.members.subarray(
        this.firsts[comparison],
        this.firsts[comparison + 1],
      );
    }

    indexComparisons() {
      const codes = this.find("comparison").array;
      this.firsts = new Uint32Array(this.comparisons + 2);
      for (const code of codes) this.firsts[code + 2] += 1;
      for (let i = 2; i < this.firsts.length; i++) this.firsts[i] += this.firsts[i - 1];
      this.members = new Uint32Array(codes.length);
      codes.forEach((code, row) => (this.members[this.firsts[code + 1]++] = row));
    }
  }

  /* Rows in the order of a column; those that are equal keep theirs, missing ones come
     last either way. */
  Inflib.sorted = function (rows, keys, ascending) {
    const missing = (key) => (typeof key === "string" ? key === "" : key !== key);
    const known = rows.filter((row) => !missing(keys[row]));
    const unknown = rows.filter((row) => missing(keys[row]));
    const turn = ascending ? 1 : -1;
    if (Array.isArray(keys)) {
      known.sort((a, b) => (keys[a] < keys[b] ? -turn : keys[a] > keys[b] ? turn : 0));
    } else known.sort((a, b) => turn * (keys[a] - keys[b]));
    const result = new Uint32Array(rows.length);
    result.set(known);
    result.set(unknown, known.length);
    return result;
  };

  Inflib.Store = Store;
})(window.Inflib);
