"use strict";
const $ = (id) => document.getElementById(id);
const shownMost = 6, costMost = 8;
const words = {
  continue: ["Text", "Once upon a time", "Continue", "Click a token to see what else could stand there, and to go on from it."],
  fill: ["Text with blanks, each ___", "The ___ of a function is a ___.", "Fill", "Click an answer to put it into the text."],
  score: ["Text", "Return the number of values.", "Score", "The stronger the colour, the less the model expected the token."],
};
let models = [], task = "continue", running = null, texts = {};

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Spaces at an end, and characters that turn the direction of what follows, would not be seen.
const turning = /[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const visible = (text) => text.replace(turning, "\ufffd");
const spelled = (text) => visible(text).replace(/^ /, "\u2423").replaceAll("\n", "\u21b5") || "\u2205";

// No text goes on from half a character, nor from the end of one.
const partOfCharacter = /<[0-9A-F]{2}>/;

function say(text, isProblem = false) {
  $("state").textContent = visible(text);
  $("state").classList.toggle("problem", isProblem);
}

async function ask(path, body, signal) {
  const headers = {};
  const key = $("key").value.trim();
  if (key) headers.Authorization = "Bearer " + key;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const error = new Error(told.error?.message || told.error || `status ${answer.status}`);
  error.status = answer.status;
  throw error;
}

async function begin() {
  try {
    models = (await (await ask("/v1/models")).json()).data;
    await ask("/ready");
  } catch (error) {
    if (error.status === 401) {
      $("key-form").hidden = false;
      $("key").focus();
      return say($("key").value ? "That is not the key." : "", true);
    }
    say("The models are being loaded \u2026");
    return setTimeout(begin, 1000);
  }
  $("key-form").hidden = true;
  document.querySelector("main").hidden = false;
  say("");
  const kinds = new Set(models.map((one) => one.objective));
  $("tab-continue").hidden = !kinds.has("causal");
  $("tab-fill").hidden = !kinds.has("masked");
  choose(kinds.has("causal") ? "continue" : "fill");
}

function choose(chosen) {
  stop();
  texts[task] = $("text").value;
  task = chosen;
  const [label, text, button, hint] = words[task];
  for (const one of Object.keys(words)) {
    const tab = $("tab-" + one);
    tab.setAttribute("aria-selected", one === task);
    tab.tabIndex = one === task ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", "tab-" + task);
  $("text-label").textContent = label;
  $("text").value = texts[task] || text;
  $("go").textContent = button;
  $("hint").textContent = hint;
  for (const one of document.querySelectorAll(".of-continue")) one.hidden = task !== "continue";
  const kind = { continue: "causal", fill: "masked" }[task];
  const fitting = models.filter((one) => !kind || one.objective === kind);
  const option = (one) => element("option", { value: one.id }, one.id);
  $("first").replaceChildren(...fitting.map(option));
  $("second").replaceChildren(element("option", { value: "" }, "none"), ...fitting.map(option));
  $("second-label").hidden = fitting.length < 2;
  besideBefore();
  $("results").replaceChildren();
}

// A run stands beside the model that it began from, where that is served.
function besideBefore() {
  const before = models.find((one) => one.id === $("first").value)?.before;
  if ([...$("second").options].some((one) => one.value === before)) $("second").value = before;
}

function chosenModels() {
  const second = $("second").value;
  return second && second !== $("first").value ? [$("first").value, second] : [$("first").value];
}

function stop() {
  running?.abort();
  running = null;
  $("stop").hidden = true;
}

async function go(prompts) {
  stop();
  const own = new AbortController();
  running = own;
  $("stop").hidden = task !== "continue";
  say("");
  const doing = { continue: continueText, fill: fillText, score: scoreText }[task];
  const cards = chosenModels().map((name) => {
    const heading = element("h2", {}, visible(name));
    return { name, heading, card: element("article", {}, heading) };
  });
  $("results").replaceChildren(...cards.map((one) => one.card));
  await Promise.all(cards.map(async (one) => {
    try {
      await doing(one, prompts?.[one.name] ?? $("text").value, own.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      one.card.append(element("p", { class: "problem", role: "alert" }, visible(error.message)));
    }
  }));
  if (running === own) stop();
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    unread += value;
    const pieces = unread.split("\n\n");
    unread = pieces.pop();
    for (const piece of pieces) {
      const data = piece.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message || event.error);
      yield event;
    }
  }
}

function tokenButton(text, nats) {
  const made = element("button", { type: "button", "aria-expanded": "false" }, visible(text));
  made.style.setProperty("--cost", Math.round(Math.min(nats / costMost, 1) * 60));
  made.title = `${spelled(text)}: ${(100 * Math.exp(-nats)).toFixed(1)}%, ${nats.toFixed(2)} nats`;
  return made;
}

async function continueText({ name, card }, prompt, signal) {
  const line = element("p", { class: "text" }, element("span", { class: "prompt" }, visible(prompt)));
  const choices = element("div", { class: "choices", hidden: "" });
  card.append(line, choices);
  const body = {
    model: name, prompt, stream: true, logprobs: shownMost - 1,
    max_tokens: Number($("tokens").value) || 60,
    temperature: Number($("temperature").value), seed: Number($("seed").value) || 0,
  };
  const special = new Set(models.find((one) => one.id === name).special_tokens);
  const answer = await ask("/v1/completions", body, signal);
  let before = prompt, held = null;
  for await (const event of events(answer)) {
    for (const one of event.choices) {
      const told = one.logprobs;
      told?.tokens.forEach((token, place) => {
        held ??= { nats: 0, top: told.top_logprobs[place], token };
        held.nats -= told.token_logprobs[place];
      });
      if (!one.text || !held) continue;
      const { nats, top, token } = held;
      const start = before, text = one.text;
      held = null;
      before += text;
      const button = tokenButton(text, nats);
      const others = Object.entries(top).map(([word, chance]) => ({ word, share: Math.exp(chance), own: word === token }));
      for (const other of others) other.fixed = special.has(other.word) || partOfCharacter.test(other.word);
      button.addEventListener("click", () => showChoices(line, choices, button, text, others, (word) => {
        go({ [name]: start + word, ...Object.fromEntries(chosenModels().filter((m) => m !== name).map((m) => [m, start + word])) });
      }));
      line.append(button);
    }
  }
  $("state").textContent = `${name}: done`;
}

function showChoices(line, place, button, text, others, onChoice) {
  const isOpen = button.getAttribute("aria-expanded") === "true";
  for (const one of line.querySelectorAll("button")) one.setAttribute("aria-expanded", "false");
  place.hidden = isOpen;
  if (isOpen) return;
  button.setAttribute("aria-expanded", "true");
  place.replaceChildren(
    element("h3", {}, `In the place of ${spelled(text)}:`),
    choiceList(others, onChoice),
  );
  place.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    place.hidden = true;
    button.setAttribute("aria-expanded", "false");
    button.focus();
  };
}

function choiceList(others, onChoice) {
  const sorted = [...others].sort((a, b) => b.share - a.share);
  const most = Math.max(...sorted.map((one) => one.share), 1e-9);
  return element("ol", {}, ...sorted.map(({ word, share, own, fixed }) => {
    const bar = element("span", { class: "bar" });
    bar.style.setProperty("--share", (100 * share / most).toFixed(1));
    const made = element("button", { type: "button", class: own ? "choice own" : "choice" }, bar,
      element("span", { class: "word" }, spelled(word)),
      element("span", { class: "share" }, `${(100 * share).toFixed(1)}%`));
    if (onChoice && !fixed) made.addEventListener("click", () => onChoice(word));
    else made.disabled = true;
    return element("li", {}, made);
  }));
}

async function fillText({ name, card }, text, signal) {
  const answer = await ask("/models/" + encodeURI(name), { inputs: text, parameters: { top_k: shownMost } }, signal);
  const told = await answer.json();
  const blanks = Array.isArray(told[0]) ? told : [told];
  const own = models.find((one) => one.id === name).mask_token;
  const marks = [...text.matchAll(/_{3,}|<mask>|\[MASK\]/g)].map((one) => [one.index, one[0].length]);
  blanks.forEach((answers, number) => {
    const others = answers.map((one) => ({ word: one.token_str, share: one.score }));
    const place = marks[number];
    const put = place && ((word) => {
      const [at, length] = place, before = text.slice(0, at);
      const spaced = before.endsWith(" ") ? word.replace(/^ /, "") : word;
      $("text").value = before + spaced + text.slice(at + length);
      if (blanks.length > 1) go();
      else $("text").focus();
    });
    card.append(element("div", { class: "choices" },
      element("h3", {}, blanks.length > 1 ? `Blank ${number + 1}` : `In the place of ${own}`),
      choiceList(others, put)));
  });
}

async function scoreText({ name, heading, card }, text, signal) {
  const answer = await ask("/score", { model: name, text, alternatives: shownMost }, signal);
  const told = await answer.json();
  const each = told.targets ? told.nats / told.targets : 0;
  heading.append(element("small", {}, `${told.nats.toFixed(2)} nats, ${each.toFixed(3)} a token`));
  const line = element("p", { class: "text" });
  const choices = element("div", { class: "choices", hidden: "" });
  for (const one of told.tokens) {
    if (one.nats === null) {
      line.append(element("span", { class: "prompt" }, visible(one.text)));
      continue;
    }
    const button = tokenButton(one.text, one.nats);
    const others = one.alternatives.map((other) => ({ word: other.text, share: Math.exp(-other.nats), own: other.id === one.id }));
    if (!others.some((other) => other.own)) others.push({ word: one.text, share: Math.exp(-one.nats), own: true });
    button.addEventListener("click", () => showChoices(line, choices, button, one.text, others, null));
    line.append(button);
  }
  card.append(line, choices);
}

// Arrows move among tabs, and among the tokens of a text.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return go();
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const at = document.activeElement;
  const group = at?.closest?.("[role=tablist],.text");
  if (!step || !group || at.tagName !== "BUTTON") return;
  const all = [...group.querySelectorAll("button")].filter((one) => !one.hidden);
  const next = all[all.indexOf(at) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
  if (next.getAttribute("role") === "tab") next.click();
});
for (const one of Object.keys(words)) $("tab-" + one).addEventListener("click", () => choose(one));
$("panel").addEventListener("submit", (event) => { event.preventDefault(); go(); });
$("key-form").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
$("first").addEventListener("change", besideBefore);
$("stop").addEventListener("click", stop);
begin();
