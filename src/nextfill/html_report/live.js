
// Follows a run: asks this machine's own server, and shows the page anew where the run has gone on.
{
  const state = () => document.querySelector(".live");
  let leaving = new AbortController();
  show(leaving.signal);

  const renew = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    if (!page.querySelector(".live")) return; // an error in words, told by the next state
    const open = [...document.querySelectorAll("details")].map((one) => one.open);
    leaving.abort(); // what listened to the old charts
    leaving = new AbortController();
    document.title = page.title;
    for (const name of ["header", "main", "footer"])
      document.querySelector(name).replaceWith(document.adoptNode(page.querySelector(name)));
    document.querySelectorAll("details").forEach((one, at) => { one.open = open[at] ?? one.open; });
    show(leaving.signal);
  };

  const ask = async (place) => {
    const answer = await fetch(place);
    return answer.ok ? answer.text() : Promise.reject(new Error(await answer.text()));
  };

  const follow = async () => {
    let page = "";
    try {
      const now = JSON.parse(await ask("/state"));
      state().textContent = now.words;
      const busy = document.querySelector(".nf-tip") || String(document.getSelection());
      if (now.version !== state().dataset.version && !busy) page = await ask("/");
    } catch (error) {
      const gone = error instanceof TypeError; // as fetch has it where nobody answers
      state().textContent = gone
        ? "the program that shows this page has ended; what stands here is the last it had"
        : error.message;
    }
    if (page) renew(page);
    setTimeout(follow, 2000);
  };
  setTimeout(follow, 2000);
}
