// What happens to the page around a publisher.

/** Who wants to know. */
export interface PageLife {
  /** The page goes away, perhaps into the back/forward cache. */
  hidden(): void;
  /** It has come back from there. */
  shown(): void;
  /** A network has come back. */
  online(): void;
}

/** Watches until the returned function is called. */
export function watchPage(life: PageLife): () => void {
  const watching = new AbortController();
  const { signal } = watching;
  addEventListener("pagehide", () => life.hidden(), { signal });
  addEventListener("pageshow", ({ persisted }) => persisted && life.shown(), { signal });
  addEventListener("online", () => life.online(), { signal });
  return () => watching.abort();
}
