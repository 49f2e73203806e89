"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const words = data.words, items = data.items, criteria = data.criteria;
  const known = new Set(items.map(each => each.item));
  const find = id => document.getElementById(id);
  const made = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const filled = (text, ...values) => values.reduce((so, value, place) => so.replace(`{${place}}`, value), text);
  const PLACE = `fairseq-latent ${data.study} ${data.rater}`;
  const IDLE = 60; // seconds without a key or a touch: from then on nobody is taken to be reading
  let state = { browsers: [], ratings: {} };
  let keeps = true, unsaved = false, current = 0, active = 0, begun = performance.now();

  // --- what is kept -------------------------------------------------------------------------------------------------
  const fresh = () => ({ scores: {}, seconds: 0, time: "", later: false });
  const rating = place => state.ratings[items[place].item] || fresh();
  const complete = place => criteria.every(each => each.name in rating(place).scores);
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), each => each.toString(16).padStart(2, "0")).join("");

  // only what this page could have written is taken from a file or from storage
  const plain = each => {
    const found = fresh();
    for (const criterion of criteria) {
      const value = each.scores && Object.hasOwn(each.scores, criterion.name) ? each.scores[criterion.name] : undefined;
      if (criterion.values.includes(value)) found.scores[criterion.name] = value;
    }
    if (typeof each.seconds === "number" && each.seconds >= 0 && isFinite(each.seconds)) found.seconds = each.seconds;
    if (typeof each.time === "string" && !isNaN(Date.parse(each.time))) found.time = new Date(each.time).toISOString();
    found.later = each.later === true;
    return found;
  };
  const merge = (browsers, ratings) => {
    let count = 0;
    state.browsers = [...new Set([...state.browsers, ...browsers.filter(each => typeof each === "string")])];
    for (const [item, each] of ratings) {
      if (!known.has(item) || !each || typeof each !== "object") continue;
      const found = plain(each), own = state.ratings[item];
      count += 1;
      if (!own || own.time <= found.time) state.ratings[item] = found;
    }
    return count;
  };
  const stored = () => {
    try {
      const found = JSON.parse(localStorage.getItem(PLACE) || "null");
      if (found) merge(found.browsers || [], Object.entries(found.ratings || {}));
    } catch { keeps = false; }
  };
  const keep = () => {
    try {
      localStorage.setItem(PLACE, JSON.stringify(state));
      keeps = true;
    } catch { keeps = false; }
    say(keeps ? words.kept : words.not_kept, !keeps);
  };
  const touched = place => {
    const item = items[place].item;
    state.ratings[item] = Object.assign(rating(place), { time: new Date().toISOString() });
    unsaved = true;
    return state.ratings[item];
  };
  const tick = (leaving = false) => {
    const now = performance.now(), passed = Math.min(IDLE, (now - begun) / 1000);
    begun = now;
    if (current < items.length && (leaving || !document.hidden)) {
      const found = rating(current);
      found.seconds += passed;
      state.ratings[items[current].item] = found;
    }
  };

  // --- what is shown ------------------------------------------------------------------------------------------------
  const say = (text, warn = false) => {
    find("status").textContent = text;
    find("status").classList.toggle("warn", warn);
  };
  const meaning = (criterion, value) =>
    criterion.anchors[value] || (data.pairwise ? [words.tie, words.first, words.second][value] : "");
  const before = place => criteria.every((each, at) => at >= place || each.profile || each.name in rating(current).scores);

  const showContext = item => {
    const context = data.contexts[item.context], last = context.turns.length - 1;
    const turns = context.turns.map((text, place) => {
      const other = (last - place) % 2 === 0;
      const who = made("span", { className: "hidden", textContent: `${other ? words.other : words.self}: ` });
      return made("li", { className: other ? "other" : "self" }, who, made("span", { dir: "auto", textContent: text }));
    });
    find("chat").replaceChildren(...turns);
    find("context").hidden = !data.show_context;
  };
  const showResponses = item => {
    const names = item.responses.length === 2 ? [words.response_a, words.response_b] : [""];
    find("response-title").hidden = item.responses.length === 2;
    find("responses").classList.toggle("two", item.responses.length === 2);
    find("responses").replaceChildren(...item.responses.map((text, place) => {
      const shown = text.trim() ? made("span", { dir: "auto", textContent: text })
        : made("span", { className: "empty", textContent: words.empty });
      return made("div", { className: "response" }, ...(names[place] ? [made("b", { textContent: names[place] })] : []), shown);
    }));
  };
  const showCriterion = (criterion, place) => {
    const title = made("h3", { id: `criterion-${place}`, textContent: criterion.title });
    const described = criterion.values.every(value => meaning(criterion, value)); // else the words stand below the numbers
    const ready = !criterion.profile || before(place);
    const buttons = criterion.values.map(value => {
      const button = made("button", { type: "button", disabled: !ready }, made("b", { textContent: String(value) }));
      if (meaning(criterion, value)) {
        button.append(made("span", { className: described ? "" : "hidden", textContent: ` ${meaning(criterion, value)}` }));
      }
      button.setAttribute("aria-pressed", String(rating(current).scores[criterion.name] === value));
      button.dataset.value = value;
      button.addEventListener("click", () => { active = place; choose(value); });
      return button;
    });
    const values = made("div", { className: `values ${described ? "wide" : "plain"}` }, ...buttons);
    values.setAttribute("role", "group");
    values.setAttribute("aria-labelledby", title.id);
    const parts = [title, made("p", { textContent: criterion.question })];
    if (criterion.profile) {
      const open = ready && place === active;
      const sentences = open ? data.contexts[items[current].context].profile : [];
      parts.push(made("div", { className: "profile" }, ...(open
        ? [made("b", { textContent: words.profile }),
           made("ul", {}, ...sentences.map(text => made("li", { dir: "auto", textContent: text })))]
        : [made("span", { textContent: words.profile_first })])));
    }
    const legend = described ? [] : criterion.values.filter(value => meaning(criterion, value)).map(value =>
      made("span", {}, made("b", { textContent: String(value) }), ` ${meaning(criterion, value)}`));
    const below = made("p", { className: "legend", ariaHidden: "true" }, ...legend);
    const card = made("section", { className: `criterion${place === active ? " active" : ""}` }, ...parts, values,
      ...(legend.length ? [below] : []));
    card.setAttribute("aria-labelledby", title.id);
    if (place === active) card.setAttribute("aria-current", "step");
    return card;
  };
  const showCriteria = () => find("criteria").replaceChildren(...criteria.map(showCriterion));

  const showProgress = () => {
    const done = items.filter((_, place) => complete(place)).length;
    find("progress").max = items.length;
    find("progress").value = done;
    find("count").textContent = filled(words.done, done, items.length);
    const later = items.map((_, place) => place).filter(place => rating(place).later);
    find("later-count").textContent = later.length;
    find("later-list").replaceChildren(...(later.length ? later.map(place => {
      const button = made("button", { type: "button", textContent: filled(words.item, place + 1, items.length) });
      button.addEventListener("click", () => go(place));
      return button;
    }) : [made("span", { textContent: words.none_later })]));
    find("finished").hidden = current < items.length && done < items.length;
    find("finished-words").textContent = done === items.length ? words.all_done : filled(words.left, items.length - done);
    find("open-next").disabled = done === items.length;
  };
  const show = () => {
    const inside = current < items.length;
    find("task").hidden = !inside;
    find("previous").disabled = current === 0;
    find("next").disabled = !inside;
    find("later").disabled = !inside;
    find("intro").hidden = current > 0;
    if (inside) {
      const later = rating(current).later;
      find("place").textContent = filled(words.item, current + 1, items.length);
      find("later").textContent = later ? words.later_on : words.later;
      find("later").setAttribute("aria-pressed", String(later));
      showContext(items[current]);
      showResponses(items[current]);
      showCriteria();
    }
    showProgress();
  };

  // --- what is done -------------------------------------------------------------------------------------------------
  const go = place => {
    tick();
    current = Math.max(0, Math.min(items.length, place));
    const open = current < items.length ? criteria.findIndex(each => !(each.name in rating(current).scores)) : 0;
    active = Math.max(0, open);
    show();
    window.scrollTo(0, 0);
    if (current < items.length) find("place").focus({ preventScroll: true });
  };
  const open = from => {
    for (let step = 0; step < items.length; step += 1) {
      const place = (from + step) % items.length;
      if (!complete(place) && !rating(place).later) return place;
    }
    const left = items.findIndex((_, place) => !complete(place));
    return left < 0 ? items.length : left;
  };
  const choose = value => {
    const criterion = criteria[active];
    if (current >= items.length || !criterion.values.includes(value) || (criterion.profile && !before(active))) return;
    const was = complete(current), focused = find("criteria").contains(document.activeElement);
    tick();
    const found = touched(current);
    found.scores = { ...found.scores, [criterion.name]: value };
    if (complete(current)) found.later = false;
    keep();
    if (complete(current) && !was) {
      go(open(current + 1));
      return;
    }
    const next = criteria.findIndex((each, place) => place > active && !(each.name in found.scores));
    const first = criteria.findIndex(each => !(each.name in found.scores));
    active = next >= 0 ? next : first >= 0 ? first : Math.min(active + 1, criteria.length - 1);
    show();
    if (focused) find("criteria").querySelector(".active button").focus(); // what had the focus was drawn anew
  };
  const later = () => {
    if (current >= items.length) return;
    tick();
    const found = touched(current);
    found.later = !found.later;
    keep();
    if (found.later) go(current + 1); else show();
  };
  const exported = () => {
    const given = items.filter(each => state.ratings[each.item] && state.ratings[each.item].time);
    const lines = given.map(each => {
      const { scores, seconds, time, later: marked } = state.ratings[each.item];
      const rounded = Math.round(seconds * 1000) / 1000;
      return JSON.stringify({ item: each.item, responses: each.responses, scores, seconds: rounded, time, later: marked });
    });
    const head = { format: data.format, version: data.version, study: data.study, rater: data.rater,
      browsers: state.browsers, saved: new Date().toISOString() };
    return `${JSON.stringify(head).slice(0, -1)}, "ratings": [\n${lines.join(",\n")}\n]}\n`;
  };
  const save = () => {
    tick();
    const name = `ratings.${data.rater}.json`;
    const address = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
    const link = made("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    unsaved = false;
    say(filled(words.saved, name));
  };
  const load = async file => {
    try {
      const found = JSON.parse(await file.text());
      if (found.format !== data.format || found.study !== data.study || found.rater !== data.rater) throw new Error("another");
      const count = merge(found.browsers, found.ratings.map(each => [each.item, each]));
      keep();
      go(open(0));
      say(filled(words.loaded, count));
    } catch { say(words.wrong_file, true); }
  };

  stored();
  if (!state.browsers.length) state.browsers = [random()];
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    tick();
    const actions = {
      ArrowLeft: () => go(current - 1), ArrowRight: () => go(current + 1),
      ArrowUp: () => { active = Math.max(0, active - 1); show(); },
      ArrowDown: () => { active = Math.min(criteria.length - 1, active + 1); show(); },
      l: later, s: save,
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[0-9]$/.test(key)) choose(Number(key));
    else if (Object.hasOwn(actions, key)) actions[key]();
    else return;
    event.preventDefault();
  });
  document.addEventListener("pointerdown", () => tick());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) tick(true); else begun = performance.now(); // time away is not reading
  });
  window.addEventListener("storage", event => { if (event.key === PLACE) { stored(); show(); } });
  window.addEventListener("beforeunload", event => { if (!keeps && unsaved) event.preventDefault(); });
  find("previous").addEventListener("click", () => go(current - 1));
  find("next").addEventListener("click", () => go(current + 1));
  find("later").addEventListener("click", later);
  find("open-next").addEventListener("click", () => go(open(current + 1)));
  find("save").addEventListener("click", save);
  find("save-end").addEventListener("click", save);
  find("load").addEventListener("change", event => {
    const [file] = event.target.files;
    if (file) load(file);
    event.target.value = "";
  });
  if (items.length) go(open(0)); else show();
})();
