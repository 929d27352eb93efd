/* Browsers start no worker for a page that lies on a disk. There, the search runs in a hidden frame. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = this.onerror = this.onmessageerror = null;
      this._frame = document.createElement("iframe");
      this._frame.hidden = true;
      // Called by the page with a target, and by the worker without one.
      const tell = "const own = self.postMessage.bind(self); self.postMessage = (data, ...target) =>"
        + " target.length ? own(data, ...target) : parent.postMessage(data, '*');";
      const source = new URL(url, location.href).href;
      this._frame.srcdoc = `<script>${tell}<\/script><script src="${source}"><\/script>`;
      this._isLoaded = new Promise((loaded) => { this._frame.onload = loaded; });
      this._heard = (event) => this._hear(event);
      addEventListener("message", this._heard);
      document.body.append(this._frame);
    }
    postMessage(data) {
      this._isLoaded.then(() => this._frame.contentWindow?.postMessage(data, "*"));
    }
    terminate() {
      removeEventListener("message", this._heard);
      this._frame.remove();
    }
    _hear(event) {
      if (event.source !== this._frame.contentWindow) return;
      const told = new MessageEvent("message", { data: event.data });
      this.onmessage?.(told);
      this.dispatchEvent(told);
    }
  };
}
