// What lies in the media element's buffer.

/** Media ahead of the playback position without a gap, seconds. */
export function bufferAhead(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime + 0.05 && buffered.end(i) > currentTime) {
      return buffered.end(i) - currentTime;
    }
  }
  return 0;
}

/** Where the next buffered range begins, or `null` when there is none ahead. */
export function nextRange(video: HTMLVideoElement): number | null {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) > currentTime + 0.05) return buffered.start(i);
  }
  return null;
}
