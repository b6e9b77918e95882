"use strict";
/* Tabs by the address, and the start of everything else. */
(function (Inflib) {
  const { byId } = Inflib;
  const tabs = [...document.querySelectorAll("[role='tab']")];
  const panels = [...document.querySelectorAll("main > section")];

  function show(id) {
    for (const panel of panels) panel.hidden = panel.id !== id;
    const owner = id === "group" ? "labelers" : id;
    for (const tab of tabs) {
      const on = tab.getAttribute("aria-controls") === owner;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    if (id === "decisions") Inflib.showDecisionList();
  }

  async function route() {
    const [place, ...rest] = location.hash.slice(1).split("/").map(decode);
    if (place === "label") {
      show("labels");
      await Inflib.started;
      const row = Number(rest[0]);
      if (Number.isInteger(row) && row >= 0 && row < Inflib.store.rows) openRow(row);
    } else if (place === "group") {
      show("group");
      window.scrollTo(0, 0);
      await Inflib.started;
      await Inflib.showGroup(rest[0], Number(rest[1]));
    } else {
      const known = panels.some((panel) => panel.id === place && place !== "group");
      show(known ? place : "overview");
      window.scrollTo(0, 0);
    }
  }

  function decode(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  /* Opens a label by its row; one that the filters hide is shown beside the grid. */
  function openRow(row) {
    const place = Inflib.labels.place(row);
    if (place >= 0) Inflib.openPlace(place);
    if (Inflib.labels.open !== row) Inflib.openLabel(row);
    if (place < 0) {
      Inflib.unmarkRow();
      Inflib.say("The filters hide this label in the grid.");
    }
    if (window.innerWidth < 1000) byId("detail").scrollIntoView();
  }

  function arrows(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.length, End: tabs.length };
    if (!(event.key in step)) return;
    event.preventDefault();
    const here = tabs.indexOf(event.target) + step[event.key];
    const tab = tabs[Math.min(Math.max(here, 0), tabs.length - 1)];
    tab.focus();
    location.hash = tab.hash;
  }

  function problem(error) {
    byId("problem").textContent = "This page cannot show its labels: " + error.message;
    byId("problem").hidden = false;
    const loading = byId("labels-loading");
    if (loading) loading.textContent = "No labels are loaded.";
  }

  async function startLabels() {
    await Inflib.startLabels();
    Inflib.startGrid();
    Inflib.startHistograms();
    Inflib.startSearch();
    Inflib.startDeciding();
    Inflib.startDecisionsTab();
    performance.mark("labels-ready");
    document.documentElement.dataset.ready = "labels"; // what a test waits for
  }

  async function start() {
    document.documentElement.classList.add("scripted");
    for (const tab of tabs) tab.addEventListener("keydown", arrows);
    window.addEventListener("hashchange", route);
    Inflib.startKeys();
    let ready = null;
    Inflib.started = new Promise((resolve) => (ready = resolve));
    try {
      const routed = route();
      Inflib.facts = await Inflib.load("facts");
      Inflib.startCharts();
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      await startLabels();
      ready();
      await routed;
    } catch (error) {
      problem(error);
    }
  }

  start();
})(window.Inflib);
