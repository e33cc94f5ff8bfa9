// Files go up by tus: one after the other in the order chosen, resumed after a cut, also when the page was closed meanwhile.
/* global tus */

const form = document.getElementById("upload");
const { endpoint, page } = form.dataset;
const zone = form.querySelector(".drop");
const input = form.querySelector("[type=file]");
const list = form.querySelector(".queue");
const alertLine = form.querySelector("[role=alert]");
const headers = { "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content, "X-Requested-With": "tus" };
const RETRY_MS = [0, 500, 1000, 2000, 4000, 8000, 15000, 30000, 60000];
const REASONS = {
  401: "You are no longer logged in: log in and choose the file again.",
  403: "You may not change this stream.",
  413: "The file is too large.",
};
const queue = [];
let running = null;

const units = ["B", "KiB", "MiB", "GiB", "TiB"];
function size(bytes) {
  let value = bytes, unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${value.toFixed(unit && value < 99.95 ? (value < 9.995 ? 2 : 1) : 0)} ${units[unit]}`;
}

function left(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const s = Math.ceil(seconds);
  return s < 60 ? `${s} s left` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s left` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min left`;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function complain(text) {
  alertLine.textContent = text;
  alertLine.hidden = !text;
}

class Rate {                       // bytes per second over the last five seconds
  constructor() { this.points = []; }

  add(bytes) {
    const now = performance.now() / 1000;
    this.points.push([now, bytes]);
    while (this.points.length > 2 && this.points[0][0] < now - 5) this.points.shift();
    const [then, before] = this.points[0];
    return now > then ? (bytes - before) / (now - then) : 0;
  }
}

class Item {                       // one file of the queue: waiting, running, failed or done
  constructor(file, mode) {
    Object.assign(this, { file, mode, state: "waiting", rate: new Rate() });
    this.row = element("li");
    this.button = element("button", { type: "button", className: "secondary", textContent: "Cancel" });
    this.bar = element("progress", { max: file.size || 1, value: 0, ariaLabel: `Upload of ${file.name}` });
    this.line = element("small", { textContent: `${size(file.size)}, waiting` });
    this.row.append(element("span", { className: "file", textContent: file.name }), this.button, this.bar, this.line);
    this.button.addEventListener("click", () => (this.state === "failed" ? this.resume() : this.cancel()));
    list.append(this.row);
  }

  say(text, isBad = false) {
    this.line.textContent = text;
    this.line.className = isBad ? "failed" : "";
  }

  async start() {
    this.state = "running";
    this.button.textContent = "Cancel";
    this.upload = new tus.Upload(this.file, {
      endpoint,
      headers,
      metadata: { filename: this.file.name, mode: this.mode },
      retryDelays: RETRY_MS,
      removeFingerprintOnSuccess: true,
      fingerprint: async (file) => ["haywain", page, this.mode, file.name, file.size, file.lastModified].join("|"),
      onProgress: (sent, total) => this.progress(sent, total),
      onSuccess: () => this.succeed(),
      onError: (error) => this.fail(error),
      onShouldRetry: (error) => this.mayRetry(error),
    });
    const [previous] = await this.upload.findPreviousUploads();
    if (previous) this.upload.resumeFromPreviousUpload(previous);
    this.upload.start();
  }

  progress(sent, total) {
    const rate = this.rate.add(sent);
    this.bar.value = sent;
    this.say(`${size(sent)} of ${size(total)}, ${size(rate)}/s ${rate ? left((total - sent) / rate) : ""}`);
  }

  mayRetry(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    const isTemporary = status === 0 || status >= 500 || [409, 423, 429].includes(status);
    if (isTemporary) this.say("The connection was cut; trying again.");
    return isTemporary;
  }

  succeed() {
    this.state = "done";
    this.bar.value = this.bar.max;
    this.button.remove();
    this.say(`${size(this.file.size)}, done`);
    next();
  }

  fail(error) {
    this.state = "failed";
    this.button.textContent = "Resume";
    this.say(REASONS[error.originalResponse?.getStatus()] ?? "The upload stopped. What arrived is kept: resume to go on from there.", true);
  }

  resume() {
    this.say("Waiting");
    queue.unshift(this);
    if (running === this || running?.state !== "running") next();
  }

  async cancel() {
    await this.upload?.abort(true).catch(() => {});
    this.row.remove();
    const place = queue.indexOf(this);
    if (place >= 0) queue.splice(place, 1);
    else next();
  }
}

function next() {
  const last = running;
  running = queue.shift() ?? null;
  if (running) running.start();
  else if (last?.state === "done") location.assign(`${page}?done=${last.mode === "append" ? "appended" : "replaced"}`);
}

function add(files, mode) {
  const isAmbiguous = mode === "replace" && files.length > 1;
  complain(isAmbiguous ? "One file replaces the bytes: choose a single one, or append." : "");
  if (isAmbiguous) return;
  for (const row of [...list.children]) if (!row.querySelector("progress")) row.remove();
  queue.push(...files.map((file) => new Item(file, mode)));
  if (running?.state !== "running") next();
}

function chosenMode() {
  return new FormData(form).get("mode");
}

async function showUnfinished() {
  const storage = tus.defaultOptions.urlStorage;
  for (const found of await storage.findAllUploads()) {
    if (!found.urlStorageKey.includes(`haywain|${page}|`) || !found.uploadUrl) continue;
    const row = element("li");
    const verb = found.metadata.mode === "replace" ? "replace the bytes by" : "append";
    const forget = element("button", { type: "button", className: "secondary", textContent: "Forget" });
    forget.addEventListener("click", async () => {
      await tus.Upload.terminate(found.uploadUrl, { headers }).catch(() => {});
      await storage.removeUpload(found.urlStorageKey);
      row.remove();
    });
    row.append(
      element("span", { className: "file", textContent: found.metadata.filename }), forget,
      element("small", { textContent: `Not finished (${size(found.size)}). To go on from where it was cut, choose to ${verb} the same file again.` }),
    );
    list.append(row);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  add([...input.files], chosenMode());
  input.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
zone.addEventListener("drop", (event) => { event.preventDefault(); add([...event.dataTransfer.files], chosenMode()); });
window.addEventListener("beforeunload", (event) => { if (running?.state === "running") event.preventDefault(); });

input.multiple = true;
form.querySelector(".scripted").hidden = false;
showUnfinished();
