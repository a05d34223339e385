// What a publisher hears from its page: that it is left, that it is back, that there is a
// network again. Only a publisher that wants to be on air listens, so that one that was
// stopped holds on to nothing and may be forgotten.

/** What is done with it. */
export interface PageListener {
  /** The page is left: closed, or put into the browser's back/forward cache. */
  left(): void;
  /** The page is back from that cache, as it was but for its connections. */
  back(): void;
  online(): void;
}

/** Listens until the returned function is called. */
export function watchPage(listener: PageListener): () => void {
  const controller = new AbortController();
  const { signal } = controller;
  addEventListener("pagehide", () => listener.left(), { signal });
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) listener.back();
    },
    { signal },
  );
  addEventListener("online", () => listener.online(), { signal });
  return () => controller.abort();
}
