// The outline of a recording on a canvas, following its <audio>; a click goes there. Keyboards use the audio's own controls.

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

class Waveform {
  constructor(canvas, audio, outline) {
    Object.assign(this, { canvas, audio, outline });
    for (const event of ["timeupdate", "seeked", "play", "loadedmetadata"]) audio.addEventListener(event, () => this.follow());
    canvas.addEventListener("click", (event) => this.seek(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  seek(event) {
    this.audio.currentTime = (event.offsetX / this.canvas.clientWidth) * this.outline.duration;
    this.draw();
  }

  follow() {
    this.draw();
    if (!this.audio.paused && !this.pending) {
      this.pending = requestAnimationFrame(() => { this.pending = 0; this.follow(); });
    }
  }

  draw() {
    const { canvas, outline } = this;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.width = Math.round(canvas.clientWidth * scale);
    const height = canvas.height = Math.round(canvas.clientHeight * scale);
    const context = canvas.getContext("2d");
    const played = (this.audio.currentTime / outline.duration) * width;
    const lane = height / outline.lanes.length;
    const colours = [colour("--wave-played"), colour("--wave")];
    outline.lanes.forEach((values, number) => this.drawLane(context, values, width, number * lane + lane / 2, lane * 0.46, played, colours));
    context.fillStyle = colour("--wave-cursor");
    context.fillRect(Math.min(Math.round(played), width - 2 * scale), 0, 2 * scale, height);
  }

  drawLane(context, { low, high }, width, middle, half, played, [before, after]) {
    for (let x = 0; x < width; x += 1) {
      const first = Math.floor((x / width) * low.length);
      const last = Math.max(first + 1, Math.floor(((x + 1) / width) * low.length));
      const top = Math.max(...high.slice(first, last));
      const bottom = Math.min(...low.slice(first, last));
      context.fillStyle = x < played ? before : after;
      context.fillRect(x, middle - top * half, 1, Math.max(1, (top - bottom) * half));
    }
  }
}

async function begin(canvas) {
  const answer = await fetch(canvas.dataset.peaks, { headers: { Accept: "application/json", "X-Requested-With": "fetch" } });
  if (!answer.ok) { canvas.remove(); return; }
  const outline = await answer.json();
  const waveform = new Waveform(canvas, canvas.parentElement.querySelector("audio"), outline);
  if (outline.is_sampled) {
    const note = document.createElement("p");
    note.className = "hint";
    note.textContent = "A long recording: its outline is drawn from a part of each stretch, so a short peak may be missing.";
    canvas.after(note);
  }
  waveform.draw();
  canvas.dataset.drawn = "true";
}

document.querySelectorAll("canvas.wave").forEach(begin);
