// Events by name, for `InletPublisher`.

type Listeners<Events> = { [K in keyof Events]?: ((event: Events[K]) => void)[] };

/** Hands events to who listens. */
export class Emitter<Events> {
  #listeners: Listeners<Events> = {};

  /** Listens to an event; the returned function stops that. */
  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): () => void {
    const listeners = (this.#listeners[name] ??= []);
    listeners.push(listener);
    return () => {
      const at = listeners.indexOf(listener);
      if (at >= 0) listeners.splice(at, 1);
    };
  }

  /** Hands an event to whoever listens now. */
  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    // A copy: who is called may stop listening.
    for (const listener of this.#listeners[name]?.slice() ?? []) listener(event);
  }
}
