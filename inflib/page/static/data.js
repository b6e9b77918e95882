"use strict";
/* Data files of the report: script files that call inflibData(kind, index, payload).

   A page that is opened from disk may not fetch files, but may run scripts beside it.
   A file is loaded when it is first asked for; of chunks, the last few stay. */
(function (Inflib) {
  const KEPT = 12;
  const waiting = new Map(); // "kind/index" -> resolve
  const loads = new Map(); // "kind/index" -> promise of the payload
  const chunks = new Map(); // the same, of decoded chunks; oldest use first

  window.inflibData = function (kind, index, payload) {
    const resolve = waiting.get(kind + "/" + index);
    waiting.delete(kind + "/" + index);
    if (resolve) resolve(payload);
  };

  // Where the browser knows Trusted Types, no other script can be added to the page.
  const rule = { createScriptURL: scriptAddress };
  const policy = window.trustedTypes
    ? window.trustedTypes.createPolicy("inflib-data", rule)
    : rule;

  function scriptAddress(address) {
    if (/^data\/[a-z]+(-\d+){0,2}\.js$/.test(address)) return address;
    throw new Error("not a data file: " + address);
  }

  /* The payload of data/<kind>-<index>.js, or of data/<kind>.js without an index. */
  Inflib.load = function (kind, index = null) {
    const name = index === null ? kind : kind + "-" + index;
    const key = kind + "/" + (index === null ? 0 : index);
    if (!loads.has(key)) {
      const load = new Promise((resolve, reject) => {
        const script = document.createElement("script");
        const fail = (why) => {
          waiting.delete(key);
          loads.delete(key);
          reject(new Error(`data/${name}.js ${why}`));
        };
        waiting.set(key, resolve);
        script.addEventListener("load", () => {
          script.remove();
          if (waiting.has(key)) fail("is not a data file of this report.");
        });
        script.addEventListener("error", () => {
          script.remove();
          fail(
            "is missing. The page reads the folder data/ beside it: " +
              "move or send the whole report folder.",
          );
        });
        script.src = policy.createScriptURL(`data/${name}.js`);
        document.head.append(script);
      });
      loads.set(key, load);
    }
    return loads.get(key);
  };

  /* The decoded JSON of a chunk; the few that were used last are kept. */
  Inflib.chunk = function (kind, index) {
    const key = kind + "/" + index;
    let chunk = chunks.get(key);
    if (!chunk) {
      chunk = Inflib.load(kind, index).then(inflateJson);
      chunk.catch(() => chunks.delete(key));
      chunk.finally(() => loads.delete(key)).catch(() => {});
    }
    chunks.delete(key);
    chunks.set(key, chunk);
    if (chunks.size > KEPT) chunks.delete(chunks.keys().next().value);
    return chunk;
  };

  /* Prompt, response a and response b of a comparison. */
  Inflib.texts = async function (comparison) {
    const size = Inflib.store.textsPerChunk;
    const chunk = await Inflib.chunk("texts", Math.floor(comparison / size));
    return chunk[comparison % size];
  };

  Inflib.bytes = function (base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  };

  /* A Response that holds what was deflated (zlib) and written in base64. */
  Inflib.inflate = function (base64) {
    const stream = new Blob([Inflib.bytes(base64)]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("deflate")));
  };

  Inflib.inflateJson = inflateJson;

  async function inflateJson(base64) {
    return JSON.parse(await Inflib.inflate(base64).text());
  }
})(window.Inflib);
