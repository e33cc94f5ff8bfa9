// What every page has: moments in the reader's own zone, copy buttons, questions before what cannot be undone.

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) time.title = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  }
}

function addCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const box of root.querySelectorAll(".copyable:not(:has(button))")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "secondary";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(box.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(button);
  }
}

function improve(root) {
  localise(root);
  addCopyButtons(root);
}

function tell(target, text) {       // beside the part of the page that could not be renewed, which stays
  forget();
  const note = document.createElement("p");
  note.className = "notice bad trouble";
  note.setAttribute("role", "alert");
  note.textContent = text;
  (target?.isConnected ? target : document.getElementById("content").firstElementChild).before(note);
}

function forget() {
  for (const note of document.querySelectorAll(".trouble")) note.remove();
}

document.addEventListener("htmx:before:request", (event) => {       // what is ticked would be lost
  const source = event.detail.ctx?.sourceElement;
  if (source?.id === "list" && source.querySelector("input:checked")) event.preventDefault();
});
document.addEventListener("htmx:before:swap", (event) => {
  const { ctx } = event.detail, answer = ctx.response?.raw;
  const hasEnded = answer?.redirected && new URL(answer.url).pathname === "/login";
  if (!answer || (answer.ok && !hasEnded)) { forget(); return; }
  event.preventDefault();
  if (hasEnded) { location.reload(); return; }
  const page = new DOMParser().parseFromString(ctx.text, "text/html");
  tell(ctx.target, page.querySelector(".problem .lead")?.textContent ?? `The portal answers ${answer.status}; try again.`);
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx && !event.detail.ctx.response) tell(event.detail.ctx.target, "The portal does not answer; this part of the page is as it was.");
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("find")?.focus();
  }
});

function showWhereThisIs() {       // on a phone the navigation is a line that scrolls
  const nav = document.querySelector(".side nav"), here = nav?.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
}

window.addEventListener("resize", showWhereThisIs);
showWhereThisIs();
document.addEventListener("htmx:after:swap", () => improve(document));
improve(document);
