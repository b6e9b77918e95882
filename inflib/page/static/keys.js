"use strict";
/* Keys of the Labels tab; undo works in the Decisions tab too. They are off while
   something is typed, and can be switched off in the help for people whose input device
   sends single letters. */
(function (Inflib) {
  const { byId } = Inflib;

  function move(step) {
    const { labels } = Inflib;
    const place = labels.place(labels.open);
    Inflib.openPlace(place < 0 ? 0 : place + step);
  }

  // k is "previous" as everywhere; so keeping a label is e: it is in keep and free.
  const ACTIONS = {
    j: () => move(1),
    k: () => move(-1),
    e: () => Inflib.decideOpen("keep"),
    f: () => Inflib.decideOpen("flip"),
    d: () => Inflib.decideOpen("drop"),
    t: () => Inflib.decideOpen("tie"),
    w: () => focus("weight"),
    n: () => focus("note"),
    u: () => Inflib.undo(),
    "/": () => focus("search"),
  };

  function focus(id) {
    if (byId(id)) byId(id).focus();
  }

  function typing(target) {
    const inputs =
      "textarea, select, input:not([type='checkbox']):not([type='button'])";
    return target.closest && target.closest(inputs) !== null;
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") return open(event);
    if (!byId("keys-on").checked || !Inflib.decisions) return;
    const undoes = event.key === "u" && !byId("decisions").hidden;
    const action = undoes || !byId("labels").hidden ? ACTIONS[event.key] : null;
    if (!action || (event.repeat && !"jk".includes(event.key))) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  function open(event) {
    event.preventDefault();
    byId("help").showModal();
  }

  Inflib.startKeys = function () {
    document.addEventListener("keydown", pressed, true);
    byId("show-help").addEventListener("click", open);
    byId("close-help").addEventListener("click", () => byId("help").close());
    byId("labels").addEventListener("keydown", (event) => {
      const inNote = ["note", "weight"].includes(event.target.id);
      if (inNote && ["Enter", "Escape"].includes(event.key)) {
        event.target.blur();
        byId("grid").querySelector(".grid-canvas").focus();
      }
    });
  };
})(window.Inflib);
